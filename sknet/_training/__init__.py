"""What moves the weights: loops, optimizers, schedules, and what watches them."""
