"""
Quick start
===========

:class:`sknet.TwoLayerClassifier` takes a raw table with numbers, categories and missing
values, and returns calibrated probabilities. This script compares it with
scikit-learn's :class:`~sklearn.neural_network.MLPClassifier` and
:class:`~sklearn.ensemble.HistGradientBoostingClassifier`, all at their defaults.
"""

# %%
# A raw table
# -----------
# No dataset that ships with scikit-learn has categories, so this script makes one. It
# keeps ten measurements of the breast cancer data, turns four of them into categories
# such as "small" and "large", and deletes one value in twelve. The patients and their
# diagnoses are real.

import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold, cross_validate, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknet import LossCurveDisplay, TwoLayerClassifier


def raw_table():
    """Return a frame of ten columns, four of them categories, and the diagnoses."""
    data = load_breast_cancer(as_frame=True)
    table = data.data.filter(like="mean ").rename(columns=lambda name: name[5:])
    for column in ["radius", "texture", "concavity", "symmetry"]:
        bins = pd.qcut(table[column], 4, ["small", "medium", "large", "huge"])
        table[column] = bins.astype(str).astype("category")
    deleted = np.random.default_rng(0).random(table.shape) < 1 / 12
    return table.mask(deleted), data.target_names[data.target]


table, diagnosis = raw_table()
print(table.iloc[:4, :6].to_string(index=False, na_rep="-"))
print(f"... {len(table)} patients, {table.shape[1]} columns")

# %%
# Three classifiers
# -----------------
# ``MLPClassifier`` accepts only numeric columns without missing values, so it needs a
# pipeline that imputes, encodes and scales. With default settings, it often stops at
# the maximum number of epochs. Its warning about this is silenced here.

numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
categories = OneHotEncoder(handle_unknown="ignore")
preparation = make_column_transformer(
    (numbers, make_column_selector(dtype_include="number")),
    (categories, make_column_selector(dtype_include="category")),
)
models = {
    "TwoLayerClassifier": TwoLayerClassifier(random_state=0),
    "MLPClassifier + pipeline": make_pipeline(
        preparation, MLPClassifier(random_state=0)
    ),
    "HistGradientBoosting": HistGradientBoostingClassifier(random_state=0),
}
warnings.filterwarnings(
    "ignore", category=ConvergenceWarning, module="sklearn.neural_network"
)

print("\nThree-fold cross-validation")
print(f"{'model':<26} log-loss  accuracy  seconds per fit")
folds = StratifiedKFold(3, shuffle=True, random_state=0)
for name, model in models.items():
    start = time.perf_counter()
    scores = cross_validate(
        model, table, diagnosis, cv=folds, scoring=["neg_log_loss", "accuracy"]
    )
    seconds = (time.perf_counter() - start) / 3
    loss, accuracy = -scores["test_neg_log_loss"], scores["test_accuracy"]
    print(f"{name:<26} {loss.mean():8.3f} {accuracy.mean():9.3f} {seconds:16.2f}")
print("Log-loss measures the probabilities (lower is better), accuracy the labels.")

# %%
# Probabilities of new patients
# -----------------------------
# ``fit`` and ``predict_proba`` both take the data frame as it is.

known, new, y_known, y_new = train_test_split(
    table, diagnosis, test_size=5, random_state=0
)
clf = TwoLayerClassifier(random_state=0).fit(known, y_known)
answer = pd.DataFrame(clf.predict_proba(new), columns=clf.classes_).round(3)
answer["diagnosis"] = y_new
print("\nPredicted probabilities of five new patients")
print(answer.to_string(index=False))

# %%
# The loss during training
# ------------------------
# Solid lines show the training loss, dashed lines the loss on held-out rows. The dot
# marks the epoch whose weights are kept.

try:
    import matplotlib
except ImportError:
    print("\nInstall matplotlib to see the loss curve: pip install matplotlib")
else:
    matplotlib.use("Agg")
    display = LossCurveDisplay.from_estimator(clf)
    # a notebook has no file
    folder = Path(__file__).parent if "__file__" in globals() else Path()
    display.figure_.savefig(folder / "loss_curve.png", dpi=120)
    print("\nThe loss of each epoch is plotted in loss_curve.png, next to this script.")
