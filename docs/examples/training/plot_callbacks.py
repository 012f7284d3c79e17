"""
Callbacks
=========

Callbacks, which need scikit-learn 1.9 or newer, observe a fit and can stop it.
``TwoLayerClassifier`` calls them after each epoch. scikit-learn has a progress bar and
a monitor of scores, and you can write your own callback as a class with four methods.
"""

# %%
# A monitor of scores
# -------------------
# ``ScoringMonitor`` scores the training rows after each epoch with a scikit-learn
# scorer. It scores the model of the best epoch so far, so its curve stays flat until a
# better epoch is found.

import time

import matplotlib.pyplot as plt
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from sknet import TwoLayerClassifier

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
clf = TwoLayerClassifier(blend=False, random_state=0)
clf.set_callbacks(monitor)
clf.fit(X_train, y_train)

log = monitor.get_logs().data_as_pandas
log = log[log["task_name"] == "epoch"]
log[["task_id", "accuracy", "neg_log_loss"]].tail()

# %%

_, ax = plt.subplots(layout="constrained")
ax.plot(log["task_id"] + 1, -log["neg_log_loss"], label="mean of the members")
ax.plot(range(1, clf.n_iter_ + 1), clf.loss_curve_, label="loss_curve_, with dropout")
ax.set(xlabel="Epoch", ylabel="Log-loss, training rows")
ax.xaxis.get_major_locator().set_params(integer=True)
_ = ax.legend()

# %%
# A time limit
# ------------
# ``on_fit_task_end`` is called after each epoch and at the end of the fit. If it
# returns True, training stops and the best epoch so far is kept.


class TimeLimit:
    """Stop a fit after some seconds."""

    def __init__(self, seconds):
        self.seconds = seconds

    def setup(self, estimator, context):
        """Start the clock."""
        self.end = time.perf_counter() + self.seconds

    def on_fit_task_begin(self, estimator, context):
        """Do nothing before an epoch."""

    def on_fit_task_end(self, estimator, context):
        """Stop when the time is up."""
        return time.perf_counter() > self.end

    def teardown(self, estimator, context):
        """Do nothing at the end."""


patient = TwoLayerClassifier(
    max_iter=100_000, n_iter_no_change=100_000, blend=False, random_state=0
)
patient.set_callbacks(TimeLimit(1.0))
start = time.perf_counter()
patient.fit(X_train, y_train)
print(f"{patient.n_iter_} epochs in {time.perf_counter() - start:.1f} s")
print(f"stop_reason_ is {patient.stop_reason_!r}, epoch {patient.best_iter_} is kept")
print(f"accuracy on new rows: {patient.score(X_test, y_test):.3f}")

# %%
# In a pipeline and in a grid search
# ----------------------------------
# A callback of the network also works inside other estimators. This monitor records all
# fits of a search. Set a ``ProgressBar`` on the outermost estimator instead.

monitor = ScoringMonitor(scoring="neg_log_loss")
network = TwoLayerClassifier(max_iter=20, blend=False, random_state=0)
network.set_callbacks(monitor)
search = GridSearchCV(
    make_pipeline(PowerTransformer(), network),
    {"twolayerclassifier__dropout": [0.2, 0.5]},
    scoring="neg_log_loss",
    cv=2,
).fit(X_train, y_train)
scores = monitor.get_logs().data_as_pandas
scores = scores[scores["task_name"] == "epoch"]

_, ax = plt.subplots(layout="constrained")
for _, one_fit in scores.groupby("parent_task_id_path"):
    ax.plot(one_fit["task_id"] + 1, -one_fit["neg_log_loss"], color="tab:blue")
ax.xaxis.get_major_locator().set_params(integer=True)
n_fits = scores["parent_task_id_path"].nunique()
ax.set(xlabel="Epoch", ylabel="Log-loss, training rows", title=f"{n_fits} fits")
print("Chosen:", search.best_params_)

# %%
# A progress bar
# --------------
# ``ProgressBar`` needs the package rich and writes to the terminal during the fit.

clf = TwoLayerClassifier(blend=False, random_state=0)
clf.set_callbacks(ProgressBar())
clf.fit(X_train, y_train)
print(f"Done: {clf.n_iter_} of {clf.max_iter} epochs, {clf.stop_reason_}")

plt.show()
