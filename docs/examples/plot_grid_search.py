"""
A grid search
=============

``GridSearchCV`` searches over the settings of the network, alone or in a pipeline, and
``ValidationCurveDisplay`` shows the effect of a single setting.
"""

# %%
# Search by log-loss
# ------------------
# Log-loss depends on the predicted probabilities, so it distinguishes settings that
# have the same accuracy. The settings worth searching are the number of hidden units,
# the dropout and the learning rate. A number for ``dropout`` turns the blend off, which
# makes the search fast.

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

grid = {
    "hidden_layer_size": [16, 48],
    "dropout": [0.2, 0.5],
    "learning_rate_init": [0.01, 0.03],
}
search = GridSearchCV(
    TwoLayerClassifier(random_state=0), grid, scoring="neg_log_loss", cv=3
)
search.fit(X_train, y_train)
print("Chosen:", search.best_params_)
print(f"Accuracy on new rows: {search.best_estimator_.score(X_test, y_test):.3f}")

# %%
# This table shows all candidates, best first. Ignore differences that are much smaller
# than the standard deviation over the folds.

columns = [f"param_{name}" for name in grid]
table = pd.DataFrame(search.cv_results_).sort_values("rank_test_score")
table["log_loss"] = -table["mean_test_score"]
table[[*columns, "log_loss", "std_test_score", "mean_fit_time"]].round(3)

# %%
# The best candidate
# ------------------
# Settings that differ from their defaults are highlighted.

search.best_estimator_

# %%
# One setting at a time
# ---------------------
# The learning rate falls to zero over ``max_iter`` epochs.

EPOCHS = [2, 5, 10, 20, 40, 80]

_, ax = plt.subplots(layout="constrained")
ValidationCurveDisplay.from_estimator(
    TwoLayerClassifier(blend=False, random_state=0),
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
