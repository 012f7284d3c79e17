"""The training loops: epochs of minibatch steps, and L-BFGS iterations.

Once training has begun, only the loops and ``optimizer.step`` write a network's
parameters.
"""

import math

import numpy as np
from scipy.optimize import minimize

# Beyond it a float32 logit may overflow. Two such weights, the largest input (1e13) and
# a sum over 1e5 products stay below 1e38.
LARGEST_WEIGHT = 1e10
MOST_RECOVERIES = 64  # halvings of the learning rate before training gives up


def fit_stochastic(
    network, batches, monitor, max_iter, optimizer, schedule, dropout_rng
):
    """Run at most ``max_iter`` epochs of minibatch steps and keep the last weights.

    An epoch with a loss or weights that are not finite is undone and run again at half
    the learning rate. After 64 such epochs, training ends as "diverged".
    """
    n, k = len(batches.data.rows), network.shape.n_members
    good_params, rate_factor, step = network.params.copy(), 1.0, 0
    for _ in range(max_iter):
        monitor.on_begin()
        first_step = step
        while True:
            total, step = 0.0, first_step
            for X, y, weight in batches:
                loss = network.loss_gradient(X, y, weight, dropout_rng)
                total += loss * len(y)
                if not math.isfinite(loss):
                    break
                network.add_penalty_gradient()
                rate = rate_factor * schedule(step)
                optimizer.step(network.params, network.grads, rate)
                step += 1
            # NaN if a weight is, which is not less than the limit
            largest = max(network.params.max(), -network.params.min())
            if math.isfinite(total) and largest < LARGEST_WEIGHT:
                good_params[:] = network.params
                break
            network.params[:] = good_params
            optimizer.reset()
            rate_factor *= 0.5
            monitor.n_recoveries += 1
            if monitor.n_recoveries >= MOST_RECOVERIES:
                monitor.stop_reason = "diverged"
                return
        if monitor.end_epoch(total / (n * k)):
            return


def fit_lbfgs(network, batches, monitor, max_iter, tol):
    """Minimize the objective of all members over all rows with SciPy's L-BFGS-B.

    ``batches`` must have no generator. Training has converged when no entry of the
    gradient is larger than ``tol``.
    """
    total_grads = np.empty_like(network.params)
    # a single block is gathered once
    only = list(batches) if len(batches) == 1 else None

    def _objective(theta):
        monitor.on_begin()  # SciPy gives no other sign that an iteration begins
        network.params[:] = theta
        loss = 0.0
        total_grads.fill(0)
        for X, y, weight in only or batches:
            loss += network.loss_gradient(X, y, weight)
            np.add(total_grads, network.grads, out=total_grads)
        network.grads[:] = total_grads
        network.add_penalty_gradient()
        return loss + network.penalty(), network.grads

    def _loss_of(result):
        """The mean loss of the members, without the penalty."""
        network.params[:] = result.x
        return float(result.fun - network.penalty()) / network.shape.n_members

    def _end_iteration(intermediate_result):
        if monitor.end_epoch(_loss_of(intermediate_result)):
            raise StopIteration

    options = {"maxiter": max_iter, "maxfun": 1_000 * max_iter, "gtol": tol}
    # the square, because the loss is quadratic near a minimum
    options["ftol"] = min(1e-9**0.5, tol) ** 2
    result = minimize(
        _objective,
        network.params.copy(),
        method="L-BFGS-B",
        jac=True,
        callback=_end_iteration,
        options=options,
    )
    network.params[:] = result.x
    if not monitor.loss_curve:  # the start was a minimum already
        monitor.end_epoch(_loss_of(result))
    reasons = {0: "converged", 2: "line_search"}
    monitor.stop_reason = reasons.get(result.status, monitor.stop_reason)
