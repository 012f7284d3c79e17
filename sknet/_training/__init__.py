"""Training: loops, optimizers, schedules, monitor and cross-fitting."""
