"""
Quickstart
==========

A first tour of :class:`sknet.TwoLayerClassifier` on two data sets that scikit-learn
ships, beside scikit-learn's own :class:`~sklearn.neural_network.MLPClassifier`: a
pipeline, cross-validation, a grid search, a loss curve and a confusion matrix. Every
figure that is printed is measured in this run.
"""

# %%
# Setting up
# ----------
# ``MLPClassifier`` expects scaled columns, so its pipeline has a ``StandardScaler``;
# ``TwoLayerClassifier`` scales its inputs itself. Both drop constant columns first:
# some pixels of the digits are never lit. Both work with one BLAS thread, as the matrix
# products are small and more threads would make the seconds depend on what else runs.
#
# At its defaults ``MLPClassifier`` ends many fits at ``max_iter`` with a
# ``ConvergenceWarning``. The warning is silenced here, for ``MLPClassifier`` alone, and
# those fits are counted below instead.

import time
import warnings
from pathlib import Path

from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, log_loss
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_score,
    cross_validate,
    train_test_split,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sknet import LossCurveDisplay, TwoLayerClassifier

try:
    import matplotlib
except ImportError:
    matplotlib = None
    print("matplotlib is missing, so no picture is drawn: pip install matplotlib")
else:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

# a notebook has no file
HERE = Path(__file__).parent if "__file__" in globals() else Path()
HEADING = "data           network              accuracy  log-loss  seconds"
ROW = "{:<14} {:<19} {:>9.3f} {:>9.3f} {:>8.1f}"
N_FOLDS = 3

threadpool_limits(limits=1)
warnings.filterwarnings(
    "ignore", category=ConvergenceWarning, module="sklearn.neural_network"
)

networks = {
    "TwoLayerClassifier": make_pipeline(
        VarianceThreshold(), TwoLayerClassifier(random_state=0)
    ),
    "MLPClassifier": make_pipeline(
        VarianceThreshold(), StandardScaler(), MLPClassifier(random_state=0)
    ),
}
data_sets = {
    "breast cancer": load_breast_cancer(return_X_y=True),
    "digits": load_digits(return_X_y=True),
}

# %%
# A pipeline, cross-validated
# ---------------------------
# The classifier goes wherever scikit-learn takes one.

X, y = data_sets["breast cancer"]
for name, pipeline in networks.items():
    scores = cross_val_score(pipeline, X, y, cv=N_FOLDS)
    print(f"{name:<19} accuracy in each fold: {scores.round(3)}")

# %%
# Accuracy, log-loss and seconds
# ------------------------------
# Means over the same folds for both networks; the seconds are those of all their fits
# and predictions.

print(f"\nCross-validation in {N_FOLDS} folds, defaults\n{HEADING}")
n_fits = n_unfinished = 0
for data, (X, y) in data_sets.items():
    for name, pipeline in networks.items():
        start = time.perf_counter()
        result = cross_validate(
            pipeline,
            X,
            y,
            cv=N_FOLDS,
            scoring=("accuracy", "neg_log_loss"),
            return_estimator=True,
        )
        seconds = time.perf_counter() - start
        accuracy = result["test_accuracy"].mean()
        loss = -result["test_neg_log_loss"].mean()
        print(ROW.format(data, name, accuracy, loss, seconds))
        if name == "MLPClassifier":
            mlps = [fitted[-1] for fitted in result["estimator"]]
            n_fits += len(mlps)
            n_unfinished += sum(mlp.n_iter_ == mlp.max_iter for mlp in mlps)
print(
    f"MLPClassifier reached max_iter in {n_unfinished} of {n_fits} fits; its "
    "ConvergenceWarning is silenced."
)

# %%
# A grid search
# -------------
# Over the width of the hidden layer and the weight decay, by log-loss in folds of the
# training rows. The ranges differ, because ``alpha`` means something else in each: here
# a decay that does not depend on the batch size, there a penalty that is divided by it.
# Accuracy and log-loss are those of the refitted winner on rows that the search has not
# seen.

grids = {
    "TwoLayerClassifier": {
        "twolayerclassifier__hidden_layer_size": [32, 64],
        "twolayerclassifier__alpha": [0.01, 0.1],
    },
    "MLPClassifier": {
        "mlpclassifier__hidden_layer_sizes": [(32,), (100,)],
        "mlpclassifier__alpha": [0.0001, 0.1],
    },
}
X, y = data_sets["breast cancer"]
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)

print(f"\nGrid search, judged on held-out rows\n{HEADING}")
chosen = []
for name, pipeline in networks.items():
    start = time.perf_counter()
    search = GridSearchCV(pipeline, grids[name], scoring="neg_log_loss", cv=N_FOLDS)
    search.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    accuracy = accuracy_score(y_test, search.predict(X_test))
    loss = log_loss(y_test, search.predict_proba(X_test))
    print(ROW.format("breast cancer", name, accuracy, loss, seconds))
    settings = [f"{key.split('__')[1]}={v}" for key, v in search.best_params_.items()]
    chosen.append(f"{name} chose {', '.join(sorted(settings))}.")
print(*chosen, sep="\n")

# %%
# A loss curve
# ------------
# Each of the members leaves out one fold of the rows. The log-loss of each row by the
# member that never saw it chooses the epoch that is kept. ``fit`` takes a validation
# set of your own as ``X_val`` and ``y_val``.

X, y = data_sets["digits"]
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)
clf = TwoLayerClassifier(random_state=0).fit(X_train, y_train)
print(
    f"\nDigits: epoch {clf.best_iter_} of {clf.n_iter_} is kept, "
    f"out-of-fold loss {clf.best_validation_loss_:.3f}, stopped by {clf.stop_reason_}"
)

if matplotlib is not None:
    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    LossCurveDisplay.from_estimator(clf, ax=ax)
    ax.set(ylabel="Log-loss", yscale="log", title="Digits")
    figure.savefig(HERE / "loss_curve.png", dpi=120)
    print("Saved loss_curve.png beside this script")

# %%
# A confusion matrix
# ------------------

predicted = clf.predict(X_test)
print(f"Digits, accuracy on held-out rows: {accuracy_score(y_test, predicted):.3f}")

if matplotlib is not None:
    figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(y_test, predicted, ax=ax, colorbar=False)
    ax.set_title("Digits, rows held out")
    figure.savefig(HERE / "confusion_matrix.png", dpi=120)
    print("Saved confusion_matrix.png beside this script")
