"""
L-BFGS on small data
====================

``solver="lbfgs"`` minimizes the penalized loss on all rows at once, with SciPy's
L-BFGS-B. There is no learning rate to choose, and it ends when the gradient is small:
for some hundred rows, for exact optima, and to compare with theory.
"""

# %%
# Two solvers, three tables
# -------------------------
# In five folds, both at their defaults otherwise. L-BFGS has no dropout, so that the
# weight decay ``alpha`` and the held-out folds alone keep it from following single
# rows; the third line gives it more of the decay.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler

from sknet import LossCurveDisplay, TwoLayerClassifier

tables = {
    "iris": load_iris(return_X_y=True),
    "wine": load_wine(return_X_y=True),
    "breast cancer": load_breast_cancer(return_X_y=True),
}
networks = {
    "adam": TwoLayerClassifier(random_state=0),
    "lbfgs": TwoLayerClassifier(solver="lbfgs", random_state=0),
    "lbfgs, alpha=0.1": TwoLayerClassifier(solver="lbfgs", alpha=0.1, random_state=0),
}
print(f"{'':<14} {'':<17} log-loss  seconds")
for table, (X, y) in tables.items():
    for name, network in networks.items():
        start = time.perf_counter()
        loss = -cross_val_score(network, X, y, scoring="neg_log_loss").mean()
        print(f"{table:<14} {name:<17} {loss:8.3f} {time.perf_counter() - start:8.1f}")

# %%
# An optimum that is known
# ------------------------
# With the activation "identity" the network is a linear model written with two
# matrices. Without a penalty its optimum is that of a logistic regression, and L-BFGS
# finds it. On irises of two overlapping kinds:

X, y = load_iris(return_X_y=True)
X, y = StandardScaler().fit_transform(X[y > 0]), y[y > 0]
linear = TwoLayerClassifier(
    1,
    n_estimators=1,
    solver="lbfgs",
    activation="identity",
    alpha=0,
    split_inputs=False,
    squash=None,
    max_iter=1000,
    tol=1e-7,
    random_state=0,
).fit(X, y)
regression = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(X, y)
difference = np.abs(linear.predict_proba(X) - regression.predict_proba(X)).max()
print(f"Largest difference of the probabilities: {difference:.1e}")
print(f"Stopped after {linear.n_iter_} iterations: {linear.stop_reason_}")

# %%
# The course of both
# ------------------
# One network each, trained on all rows of the wine data without a hold-out. An
# iteration of L-BFGS sees every row once, or more often if its line search needs it;
# an epoch of Adam makes several steps, at a learning rate that rises and falls. The
# curves show the loss without the penalty. L-BFGS minimizes the sum of both, and so
# it comes to rest where less loss would cost more penalty; Adam's decay of the
# weights pulls less here.

X, y = load_wine(return_X_y=True)
_, ax = plt.subplots(layout="constrained")
for solver in ["adam", "lbfgs"]:
    network = TwoLayerClassifier(
        16, n_estimators=1, solver=solver, dropout=0, tol=1e-6, random_state=0
    ).fit(X, y)
    LossCurveDisplay.from_estimator(network, ax=ax, name=solver)
_ = ax.set(yscale="log", title="Wine", xlabel="Epoch or iteration")

plt.show()
