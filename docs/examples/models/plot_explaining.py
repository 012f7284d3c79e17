"""
Explaining a model on a raw frame
=================================

scikit-learn's inspection tools take the fitted model and the raw data frame, so their
results refer to the columns of the frame.
:meth:`~sknet.TwoLayerClassifier.member_proba` shows where the networks disagree.
"""

# %%
# A model for a table with a category and gaps
# --------------------------------------------
# Each row is a breast tumour from scikit-learn's breast cancer data. One column is
# turned into a category, and one in twenty values is deleted.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.model_selection import train_test_split

from sknet import TwoLayerClassifier

data = load_breast_cancer(as_frame=True)
columns = ["worst area", "worst texture", "mean concavity", "mean symmetry"]
table = data.data[columns].rename(columns=lambda name: name.split()[1])
thirds = pd.qcut(table["concavity"], 3, labels=["low", "middle", "high"])
table["concavity"] = thirds.astype(str).astype("category")
table = table.mask(np.random.default_rng(0).random(table.shape) < 0.05)
label = data.target_names[data.target]

X_train, X_test, y_train, y_test = train_test_split(table, label, random_state=0)
clf = TwoLayerClassifier(random_state=0).fit(X_train, y_train)
print(f"Accuracy on new rows: {clf.score(X_test, y_test):.3f}")

# %%
# Permutation importance
# ----------------------
# The plot shows how much the log-loss increases when one column is shuffled.

result = permutation_importance(
    clf, X_test, y_test, scoring="neg_log_loss", n_repeats=10, random_state=0
)
order = result.importances_mean.argsort()
_, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.boxplot(
    result.importances[order].T,
    orientation="horizontal",
    tick_labels=table.columns[order],
)
_ = ax.set(xlabel="Increase of the log-loss")

# %%
# Partial dependence
# ------------------
# The plots show how the mean probability changes with one column. Categories are shown
# as bars.

_, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained", sharey=True)
known = X_train.dropna()
_ = PartialDependenceDisplay.from_estimator(
    clf,
    known,
    ["area", "texture", "concavity"],
    categorical_features=["concavity"],
    response_method="predict_proba",
    ax=axes,
)

# %%
# Where the networks disagree
# ---------------------------
# The members' probabilities differ most where the data do not determine the label.

p = clf.predict_proba(X_test)[:, 1]
spread = clf.member_proba(X_test)[:, :, 1].std(axis=0)
wrong = clf.predict(X_test) != y_test
_, ax = plt.subplots(layout="constrained")
ax.scatter(p[~wrong], spread[~wrong], label="correct")
ax.scatter(p[wrong], spread[wrong], marker="x", color="tab:red", label="wrong")
ax.set(xlabel=f"P({clf.classes_[1]})", ylabel="Standard deviation of the members")
_ = ax.legend()
for name, rows in {"correct": ~wrong, "wrong": wrong}.items():
    print(f"Mean spread of {name} predictions: {spread[rows].mean():.2f}")

plt.show()
