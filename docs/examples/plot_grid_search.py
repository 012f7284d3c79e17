"""
A grid search
=============

The settings of the network are parameters like any other: ``GridSearchCV`` searches
over them, alone or in a pipeline, and ``ValidationCurveDisplay`` shows what a single
one does.
"""

# %%
# Search by log-loss
# ------------------
# Accuracy jumps with single rows, while the log-loss also sees how sure each prediction
# was: it tells settings apart that have the same accuracy. Three settings that are
# worth a search are the number of hidden units, the dropout and the learning rate.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import (
    GridSearchCV,
    ValidationCurveDisplay,
    train_test_split,
)

from sknet import TwoLayerClassifier

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

grid = {"hidden_layer_size": [16, 48], "dropout": [0.2, 0.5], "alpha": [0.01, 0.1]}
search = GridSearchCV(
    TwoLayerClassifier(random_state=0), grid, scoring="neg_log_loss", cv=3
)
search.fit(X_train, y_train)
print("Chosen:", search.best_params_)
print(f"Accuracy on new rows: {search.best_estimator_.score(X_test, y_test):.3f}")

# %%
# All that was tried, best first. The standard deviation is that over the three folds:
# differences that are much smaller than it decide nothing.

columns = [f"param_{name}" for name in grid]
table = pd.DataFrame(search.cv_results_).sort_values("rank_test_score")
table["log_loss"] = -table["mean_test_score"]
table[[*columns, "log_loss", "std_test_score", "mean_fit_time"]].round(3)

# %%
# The winner, as scikit-learn shows it
# ------------------------------------
# Settings that differ from their defaults are marked, and the fitted attributes stand
# below. Each name leads to its description in the documentation.

search.best_estimator_

# %%
# One setting at a time
# ---------------------
# ``max_iter`` is the number of epochs over which the learning rate falls to zero.

EPOCHS = [2, 5, 10, 20, 40, 80]

_, ax = plt.subplots(layout="constrained")
ValidationCurveDisplay.from_estimator(
    TwoLayerClassifier(random_state=0),
    X_train,
    y_train,
    param_name="max_iter",
    param_range=EPOCHS,
    scoring="neg_log_loss",
    negate_score=True,
    score_name="Log-loss",
    score_type="both",
    cv=3,
    ax=ax,
)
ax.set(title="Breast cancer, three folds", xscale="log")
ax.minorticks_off()
_ = ax.set_xticks(EPOCHS, labels=map(str, EPOCHS))

plt.show()
