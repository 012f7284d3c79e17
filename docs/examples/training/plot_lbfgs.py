"""
L-BFGS on small data
====================

``solver="lbfgs"`` minimizes the penalized loss on all rows at once, with SciPy's
L-BFGS-B. It has no learning rate and ends when the gradient is small. Use it for a few
hundred rows, for exact optima and for comparisons with theory.
"""

# %%
# Two solvers, three tables
# -------------------------
# L-BFGS has no dropout, so only the weight decay ``alpha`` and early stopping
# regularize it. The third line for each dataset is for a stronger weight decay.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
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
adam = TwoLayerClassifier(blend=False, random_state=0)
networks = {
    "adam": adam,
    "lbfgs": clone(adam).set_params(solver="lbfgs"),
    "lbfgs, alpha=0.1": clone(adam).set_params(solver="lbfgs", alpha=0.1),
}
print(f"{'':<14} {'':<17} log-loss  seconds")
for table, (X, y) in tables.items():
    for name, network in networks.items():
        start = time.perf_counter()
        loss = -cross_val_score(network, X, y, scoring="neg_log_loss").mean()
        print(f"{table:<14} {name:<17} {loss:8.3f} {time.perf_counter() - start:8.1f}")

# %%
# A known optimum
# ---------------
# With ``activation="identity"``, unscaled inputs and no penalty, the network is a
# logistic regression written with two matrices, and L-BFGS finds the same optimum.

X, y = load_iris(return_X_y=True)
X, y = StandardScaler().fit_transform(X[y > 0]), y[y > 0]
linear = TwoLayerClassifier(
    1,
    n_estimators=1,
    solver="lbfgs",
    activation="identity",
    alpha=0,
    standardize=False,
    max_iter=1000,
    tol=1e-7,
    random_state=0,
).fit(X, y)
regression = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000).fit(X, y)
difference = np.abs(linear.predict_proba(X) - regression.predict_proba(X)).max()
print(f"Largest difference of the probabilities: {difference:.1e}")
print(f"Stopped after {linear.n_iter_} iterations: {linear.stop_reason_}")

# %%
# Loss curves of both solvers
# ---------------------------
# Each solver trains one network on all rows of the wine data. The curves show the loss
# without the penalty. L-BFGS minimizes the sum of loss and penalty, so its loss levels
# off where a lower loss would increase the penalty more.

X, y = load_wine(return_X_y=True)
_, ax = plt.subplots(layout="constrained")
for solver in ["adam", "lbfgs"]:
    network = TwoLayerClassifier(
        16, n_estimators=1, solver=solver, dropout=0, tol=1e-6, random_state=0
    ).fit(X, y)
    LossCurveDisplay.from_estimator(network, ax=ax, name=solver)
_ = ax.set(yscale="log", title="Wine", xlabel="Epoch or iteration")

plt.show()
