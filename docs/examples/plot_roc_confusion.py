"""
How well it ranks, and what it confuses
=======================================

``TwoLayerClassifier`` has ``predict_proba`` and ``decision_function``, so that
scikit-learn's displays take it as they take any classifier. The digits show what is
confused, a problem of two classes how well rows are ranked.
"""

# %%
# What is confused
# ----------------
# Rows are the true digits, columns the predicted ones.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    RocCurveDisplay,
    classification_report,
    confusion_matrix,
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
_ = ax.set_title("Digits, rows held out")

# %%
# The pair that is confused most often, and the usual report:

counts = confusion_matrix(y_test, predicted)
np.fill_diagonal(counts, 0)
true, taken_for = np.unravel_index(counts.argmax(), counts.shape)
print(f"Most often confused: {true} is taken for {taken_for}, {counts.max()} times\n")
print(classification_report(y_test, predicted))

# %%
# The rows it is least sure of
# ----------------------------
# The probability of the predicted digit says where to look: these are the ten lowest.

proba = clf.predict_proba(X_test)
unsure = proba.max(axis=1).argsort()[:10]
_, axes = plt.subplots(2, 5, figsize=(9, 4.2), layout="constrained")
for ax, row in zip(axes.flat, unsure, strict=True):
    ax.imshow(X_test[row].reshape(8, 8), cmap="gray_r")
    ax.set_title(f"{y_test[row]}, said {predicted[row]}\n(p = {proba[row].max():.2f})")
    ax.set_axis_off()

# %%
# How well two classes are ranked
# -------------------------------
# Beside a logistic regression, on classes that overlap and that no plane parts well.

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
right.set_title("Precision and recall")

plt.show()
