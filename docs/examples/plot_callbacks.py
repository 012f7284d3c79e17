"""
Callbacks: watch and stop a fit
===============================

scikit-learn 1.9 has callbacks: objects that a fit tells of each of its steps. For
``TwoLayerClassifier`` a step is an epoch. scikit-learn brings a progress bar and a
monitor of scores; one of your own is a class with four methods. (On older releases of
scikit-learn ``set_callbacks`` does not exist.)
"""

# %%
# A monitor of scores
# -------------------
# ``ScoringMonitor`` scores the training rows after each epoch, with any of
# scikit-learn's scorers. What it sees is the model that ``fit`` would return if it
# ended there, with the best epoch so far: its curve is flat while no epoch is better.

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
clf = TwoLayerClassifier(random_state=0)
clf.set_callbacks(monitor)
clf.fit(X_train, y_train)

log = monitor.get_logs().data_as_pandas
log = log[log["task_name"] == "epoch"]
log[["task_id", "accuracy", "neg_log_loss"]].tail()

# %%

_, ax = plt.subplots(layout="constrained")
ax.plot(log["task_id"] + 1, -log["neg_log_loss"], label="by the members' mean")
ax.plot(range(1, clf.n_iter_ + 1), clf.loss_curve_, label="loss_curve_, with dropout")
ax.set(xlabel="Epoch", ylabel="Log-loss, training rows")
ax.xaxis.get_major_locator().set_params(integer=True)
_ = ax.legend()

# %%
# One of your own: a limit of time
# --------------------------------
# ``on_fit_task_end`` is called after each epoch and at the end of the whole fit. If it
# returns True, training stops there; the best epoch so far is kept, as always.


class TimeLimit:
    """Stop a fit after some seconds."""

    def __init__(self, seconds):
        self.seconds = seconds

    def setup(self, estimator, context):
        """Start the clock: a fit begins."""
        self.end = time.perf_counter() + self.seconds

    def on_fit_task_begin(self, estimator, context):
        """Nothing is done before an epoch."""

    def on_fit_task_end(self, estimator, context):
        """Ask to stop when the time is over."""
        return time.perf_counter() > self.end

    def teardown(self, estimator, context):
        """Nothing is left to tidy up."""


patient = TwoLayerClassifier(max_iter=100_000, n_iter_no_change=100_000, random_state=0)
patient.set_callbacks(TimeLimit(1.0))
start = time.perf_counter()
patient.fit(X_train, y_train)
print(f"{patient.n_iter_} epochs in {time.perf_counter() - start:.1f} s")
print(f"stop_reason_ is {patient.stop_reason_!r}, epoch {patient.best_iter_} is kept")
print(f"accuracy on new rows: {patient.score(X_test, y_test):.3f}")

# %%
# In a pipeline and in a grid search
# ----------------------------------
# A callback that is set on the network stays with it, wherever the network is put. A
# ``ProgressBar`` alone belongs on the outermost estimator, as shown below. The
# monitor here follows each fit of the search: one for each candidate and fold, and one
# for the final fit.

monitor = ScoringMonitor(scoring="neg_log_loss")
network = TwoLayerClassifier(random_state=0, max_iter=20)
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
# ``ProgressBar`` needs the package rich and writes to the terminal while a fit runs. It
# is set on the outermost estimator and shows all that happens inside.

clf = TwoLayerClassifier(random_state=0)
clf.set_callbacks(ProgressBar())
clf.fit(X_train, y_train)
print(f"Done: {clf.n_iter_} of {clf.max_iter} epochs, {clf.stop_reason_}")

plt.show()
