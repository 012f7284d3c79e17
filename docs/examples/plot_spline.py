"""
Thresholds and bands: SplineTransformer
=======================================

Where a label turns on thresholds or narrow bands of single columns, trees have it
easier than a network, whose functions bend slowly. scikit-learn's ``SplineTransformer``
of degree 1 gives the network a bend at chosen quantiles of every column: a piecewise
linear encoding. Everything else stays as it is.
"""

# %%
# A staircase in one column
# -------------------------
# The probability of class 1 jumps with ``x``. The network alone draws a smooth curve
# through the steps, with the encoding it can follow them.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from sknet import TwoLayerClassifier


def encoded(n_knots):
    """Return the network behind a piecewise linear encoding of each column."""
    spline = SplineTransformer(degree=1, n_knots=n_knots, knots="quantile")
    return make_pipeline(spline, TwoLayerClassifier(random_state=0))


rng = np.random.default_rng(0)
x = rng.uniform(0, 10, size=(3000, 1))


def truth(x):
    """Return the probability of class 1 at each x: a bar in every other interval."""
    return np.where(np.floor(x) % 2 == 0, 0.15, 0.85)


y = rng.uniform(size=3000) < truth(x[:, 0])
at = np.linspace(0, 9.99, 500)[:, np.newaxis]

_, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ax.plot(at, truth(at), color="gray", linewidth=1, label="truth")
networks = {
    "network alone": TwoLayerClassifier(random_state=0),
    "with 24 knots": encoded(24),
}
for name, network in networks.items():
    ax.plot(at, network.fit(x, y).predict_proba(at)[:, 1], label=name)
ax.set(xlabel="x", ylabel="Probability of class 1")
_ = ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)

# %%
# Bands in some of ten columns
# ----------------------------
# How many knots are enough is a question for a cross-validation. More of them cost time
# and, where the truth is smooth, some accuracy: that is why they are no default.

X = rng.uniform(size=(2000, 10))
label = np.sin(20 * X[:, :4]).sum(axis=1) > 0
models = {"no encoding": TwoLayerClassifier(random_state=0)}
models |= {f"{n_knots} knots": encoded(n_knots) for n_knots in (4, 16)}
models["gradient boosting"] = HistGradientBoostingClassifier(random_state=0)

print(f"{'':<18} log-loss  seconds")
losses = {}
for name, model in models.items():
    start = time.perf_counter()
    result = cross_validate(model, X, label, scoring="neg_log_loss", cv=3)
    losses[name] = -result["test_score"]
    print(f"{name:<18} {losses[name].mean():8.3f} {time.perf_counter() - start:8.1f}")

_, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
names = list(losses)[::-1]
ax.barh(names, [losses[name].mean() for name in names])
for place, name in enumerate(names):
    ax.plot(losses[name], [place] * 3, "|", color="black", markersize=12)
_ = ax.set(xlabel="Log-loss, three folds", title="Bands in four of ten columns")

plt.show()
