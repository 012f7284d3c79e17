"""
scikit-learn's displays
=======================

``TwoLayerClassifier`` has ``predict_proba`` and ``decision_function``, so all displays
of scikit-learn accept it. This example draws a confusion matrix, ROC and
precision-recall curves and decision boundaries.
"""

# %%
# Confusion matrix
# ----------------
# Rows are the true digits and columns the predicted ones.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits, make_classification, make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    classification_report,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
clf = TwoLayerClassifier(random_state=0).fit(X_train, y_train)
predicted = clf.predict(X_test)

_, ax = plt.subplots(figsize=(6, 5.5), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y_test, predicted, cmap="Blues", colorbar=False, ax=ax
)
_ = ax.set_title("Digits, held-out rows")

# %%
# scikit-learn's report lists precision and recall for each digit:

print(classification_report(y_test, predicted))

# %%
# The least certain rows
# ----------------------
# These ten digits have the lowest probability of the predicted class.

proba = clf.predict_proba(X_test)
unsure = proba.max(axis=1).argsort()[:10]
_, axes = plt.subplots(2, 5, figsize=(9, 4.2), layout="constrained")
for ax, row in zip(axes.flat, unsure, strict=True):
    ax.imshow(X_test[row].reshape(8, 8), cmap="gray_r")
    title = f"{y_test[row]}, predicted {predicted[row]}\n(p = {proba[row].max():.2f})"
    ax.set_title(title)
    ax.set_axis_off()

# %%
# ROC and precision-recall curves
# -------------------------------
# The classes overlap, and no plane separates them well.

X, y = make_classification(3000, 12, n_informative=6, flip_y=0.05, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
models = {
    "TwoLayerClassifier": TwoLayerClassifier(random_state=0),
    "LogisticRegression": make_pipeline(StandardScaler(), LogisticRegression()),
}
_, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
for name, model in models.items():
    model.fit(X_train, y_train)
    RocCurveDisplay.from_estimator(model, X_test, y_test, name=name, ax=left)
    PrecisionRecallDisplay.from_estimator(model, X_test, y_test, name=name, ax=right)
left.set_title("Receiver operating characteristic")
_ = right.set_title("Precision and recall")

# %%
# Decision boundaries
# -------------------
# The network is uncertain where the colour is pale. On the black line, both classes
# have a probability of one half. ``activation="identity"`` gives a linear model if the
# columns are not split at their means.

X, y = make_moons(400, noise=0.25, random_state=0)
networks = {
    "linear": TwoLayerClassifier(activation="identity", n_knots=0, random_state=0),
    "4 units, one member": TwoLayerClassifier(
        4, n_estimators=1, dropout=0, max_iter=300, random_state=0
    ),
    "default": TwoLayerClassifier(random_state=0),
}
_, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
for ax, (name, network) in zip(axes, networks.items(), strict=True):
    network.fit(X, y)
    shown = {"response_method": "predict_proba", "grid_resolution": 150, "ax": ax}
    DecisionBoundaryDisplay.from_estimator(
        network, X, plot_method="pcolormesh", cmap="RdBu", vmin=0, vmax=1, **shown
    )
    DecisionBoundaryDisplay.from_estimator(
        network, X, plot_method="contour", levels=[0.5], colors="black", **shown
    )
    ax.scatter(*X.T, c=y, cmap="RdBu", edgecolor="white", s=20)
    ax.set_title(name)

plt.show()
