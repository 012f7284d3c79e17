"""
Loss curves
===========

:class:`sknet.LossCurveDisplay` plots the training of one or several estimators. Look at
this plot before you change a setting.
"""

# %%
# One estimator
# -------------
# The solid line is the training loss, measured with dropout. The dashed line is the
# loss on held-out rows, measured without dropout. The dot marks the epoch whose weights
# are kept. For a blend, the curves are those of its first variant.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from sknet import LossCurveDisplay, TwoLayerClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
clf = TwoLayerClassifier(random_state=0).fit(X_train, y_train)
display = LossCurveDisplay.from_estimator(clf)
_ = display.ax_.set(yscale="log", title="Digits")
print(f"Epoch {clf.best_iter_} of {clf.n_iter_} is kept, {clf.stop_reason_}")

# %%
# Several estimators
# ------------------
# With four hidden units, both losses stay high, because the network is too small for
# ten digits. ``MLPClassifier`` has only a training loss. The display accepts any
# estimator with a ``loss_curve_``.

networks = {
    "default": TwoLayerClassifier(random_state=0),
    "4 units": TwoLayerClassifier(4, blend=False, random_state=0),
    "MLPClassifier": MLPClassifier(learning_rate_init=0.01, random_state=0),
}
_, ax = plt.subplots(figsize=(7, 5), layout="constrained")
for name, network in networks.items():
    network.fit(X_train / 16, y_train)  # for MLPClassifier, which does not scale
    LossCurveDisplay.from_estimator(network, ax=ax, name=name)
    print(f"{name:<14} accuracy on new rows {network.score(X_test / 16, y_test):.3f}")
_ = ax.set(yscale="log", title="Digits")

# %%
# Too much and too little regularization
# --------------------------------------
# Without dropout, the training loss falls far below the validation loss. With
# too much dropout, both stay high.

_, ax = plt.subplots(figsize=(7, 5), layout="constrained")
for dropout in [0.0, 0.35, 0.9]:
    network = TwoLayerClassifier(dropout=dropout, random_state=0)
    network.fit(X_train[:300], y_train[:300])
    LossCurveDisplay.from_estimator(network, ax=ax, name=f"dropout {dropout}")
_ = ax.set(yscale="log", title="Digits, 300 rows")

plt.show()
