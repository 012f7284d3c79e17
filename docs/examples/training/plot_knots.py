"""
Thresholds and bands: n_knots
=============================

If a label depends on thresholds or narrow bands of single columns, trees have an
advantage over a network, whose predictions change smoothly. ``n_knots`` adds a
piecewise linear basis in the quantiles of each column, with which the network can fit
such thresholds and bands.
"""

# %%
# Steps in one column
# -------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score

from sknet import TwoLayerClassifier

rng = np.random.default_rng(0)
x = rng.uniform(0, 10, size=(3000, 1))


def truth(x):
    """Return the probability of class 1, which jumps at each integer."""
    return np.where(np.floor(x) % 2 == 0, 0.15, 0.85)


y = rng.random(3000) < truth(x[:, 0])
at = np.linspace(0, 9.99, 500)[:, np.newaxis]

_, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ax.plot(at, truth(at), color="gray", linewidth=1, label="truth")
networks = {
    "n_knots=1": TwoLayerClassifier(n_knots=1, random_state=0),
    "n_knots=48": TwoLayerClassifier(n_knots=48, random_state=0),
    "default (blend)": TwoLayerClassifier(random_state=0),
}
for name, network in networks.items():
    ax.plot(at, network.fit(x, y).predict_proba(at)[:, 1], label=name)
ax.set(xlabel="x", ylabel="Probability of class 1")
_ = ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4)

# %%
# Bands in some of ten columns
# ----------------------------
# The default blend includes a variant with 16 knots. More knots cost time and, if the
# true function is smooth, some accuracy.

X = rng.random((1500, 10))
label = np.sin(20 * X[:, :3]).sum(axis=1) > 0
models = {
    "n_knots=1": TwoLayerClassifier(n_knots=1, random_state=0),
    "n_knots=24": TwoLayerClassifier(n_knots=24, random_state=0),
    "default (blend)": TwoLayerClassifier(random_state=0),
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
}
losses = {}
for name, model in models.items():
    losses[name] = -cross_val_score(model, X, label, scoring="neg_log_loss", cv=3)
    print(f"{name:<18} log-loss {losses[name].mean():.3f}")

_, ax = plt.subplots(figsize=(7, 3), layout="constrained")
names = list(losses)[::-1]
ax.barh(names, [losses[name].mean() for name in names])
_ = ax.set(xlabel="Log-loss, three folds", title="Bands in three of ten columns")

plt.show()
