"""
Loss curves and scikit-learn's displays
=======================================

:class:`sknet.LossCurveDisplay` shows how training went, of one network or of several.
:class:`sknet.TwoLayerClassifier` is a scikit-learn classifier, so that scikit-learn's
own displays show the rest: where it decides, how well it ranks, how far its
probabilities can be trusted, what it confuses, and what a setting does.
"""

# sphinx_gallery_thumbnail_number = 2

# %%
# Setting up
# ----------
# All data are shipped with scikit-learn or made by it. The matrix products are small:
# one BLAS thread is fastest.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay
from sklearn.model_selection import ValidationCurveDisplay, train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from sknet import LossCurveDisplay, TwoLayerClassifier

_ = threadpool_limits(limits=1)

# %%
# The loss curves of one network
# ------------------------------
# Solid is the loss of the rows that are trained on, with dropout; dashed that of the
# rows which each member left out, without. The dot is the epoch whose weights are kept.
# On a logarithmic scale the end of training can be read too.

X_digits, y_digits = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X_digits, y_digits, test_size=0.3, stratify=y_digits, random_state=0
)
clf = TwoLayerClassifier(random_state=0).fit(X_train, y_train)

display = LossCurveDisplay.from_estimator(clf)
_ = display.ax_.set(yscale="log", title="Digits")

# %%
# Several on one axis
# -------------------
# Each network has its colour. With four hidden units both losses stay high: the network
# is too small for ten digits. ``MLPClassifier`` keeps the loss of training only; any
# estimator with a ``loss_curve_`` will do.

networks = {
    "default": TwoLayerClassifier(random_state=0),
    "4 units": TwoLayerClassifier(4, random_state=0),
    "MLPClassifier": MLPClassifier(learning_rate_init=0.01, random_state=0),
}
_, ax = plt.subplots(figsize=(7, 5), layout="constrained")
for name, network in networks.items():
    network.fit(X_train / 16, y_train)  # for MLPClassifier, which does not scale
    LossCurveDisplay.from_estimator(network, ax=ax, name=name)
_ = ax.set(yscale="log", title="Digits")

# %%
# Where it decides
# ----------------
# Two columns of the irises, so that the boundary fits on paper. The stronger a colour,
# the surer the network is of that class.

iris = load_iris()
petals = iris.data[:, 2:]
colors = ["tab:blue", "tab:orange", "tab:green"]

_, ax = plt.subplots(layout="constrained")
DecisionBoundaryDisplay.from_estimator(
    TwoLayerClassifier(random_state=0).fit(petals, iris.target),
    petals,
    response_method="predict_proba",
    plot_method="pcolormesh",
    grid_resolution=200,
    multiclass_colors=colors,
    alpha=0.5,
    xlabel=iris.feature_names[2],
    ylabel=iris.feature_names[3],
    ax=ax,
)
for label, (name, color) in enumerate(zip(iris.target_names, colors, strict=True)):
    ax.scatter(
        *petals[iris.target == label].T, color=color, edgecolor="black", label=name
    )
ax.legend()
_ = ax.set_title("Irises")

# %%
# How well it ranks, and whether its probabilities are true
# ---------------------------------------------------------
# Beside a logistic regression, on rows that neither has seen, of two classes that
# overlap and no straight line parts. A curve on the diagonal of the right picture
# means: of the rows that are given 80 %, 80 % are of that class.

X_moons, y_moons = make_moons(3000, noise=0.35, random_state=0)
X_fit, X_new, y_fit, y_new = train_test_split(X_moons, y_moons, random_state=0)
models = {
    "TwoLayerClassifier": TwoLayerClassifier(random_state=0),
    "LogisticRegression": LogisticRegression(),
}
_, (left, right) = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
for name, model in models.items():
    model.fit(X_fit, y_fit)
    RocCurveDisplay.from_estimator(model, X_new, y_new, name=name, ax=left)
    CalibrationDisplay.from_estimator(model, X_new, y_new, name=name, ax=right)
left.set_title("Moons, ROC")
_ = right.set_title("Moons, calibration")

# %%
# What it confuses
# ----------------

_, ax = plt.subplots(figsize=(6, 5), layout="constrained")
ConfusionMatrixDisplay.from_estimator(
    networks["default"], X_test / 16, y_test, colorbar=False, ax=ax
)
_ = ax.set_title("Digits, rows held out")

# %%
# What a setting does
# -------------------
# Twenty fits, by cross-validation. Hidden units beyond a few gain little here, and do
# no harm.

_, ax = plt.subplots(layout="constrained")
ValidationCurveDisplay.from_estimator(
    TwoLayerClassifier(random_state=0),
    *load_breast_cancer(return_X_y=True),
    param_name="hidden_layer_size",
    param_range=np.array([1, 4, 16, 64]),
    scoring="neg_log_loss",
    negate_score=True,
    score_name="Log-loss",
    score_type="both",
    ax=ax,
)
ax.set_title("Breast cancer, five folds")

plt.show()
