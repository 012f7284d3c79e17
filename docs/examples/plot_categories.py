"""
A table with categories and gaps
================================

The network takes numbers only. Text and gaps are encoded in a pipeline, which a
``ColumnTransformer`` does column by column. Scaling is not part of it: the network
scales its inputs itself, and divides a column of zeros and ones by the distance of its
two values, so that a rare category is not louder than a frequent one.
"""

# %%
# The table
# ---------
# Made here, for it to have all that tables have: numbers of different size, gaps,
# categories, some of them rare. The label depends on all of them.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sknet import TwoLayerClassifier

rng = np.random.default_rng(0)
n = 2000
table = pd.DataFrame(
    {
        "income": rng.lognormal(10, 0.6, n),
        "age": rng.uniform(18, 90, n),
        "rate": rng.normal(0.03, 0.01, n),
        "town": rng.choice(
            ["Ulm", "Bonn", "Kiel", "Trier"], n, p=[0.5, 0.3, 0.17, 0.03]
        ),
        "plan": rng.choice(["basic", "family", "pro"], n),
    }
)
score = (
    np.log(table["income"] / 22_000)
    - ((table["age"] - 50) / 25) ** 2
    + 80 * (table["rate"] - 0.03)
    + table["plan"].map({"basic": -1, "family": 0.5, "pro": 1})
    + 2 * (table["town"] == "Trier")
)
label = np.where(score + rng.logistic(0, 0.4, n) > 0, "stays", "leaves")
table = table.mask(rng.uniform(size=table.shape) < 0.05)  # gaps
table.head()

# %%
# The pipeline
# ------------
# Numbers: the median in place of a gap, and a column that says where gaps were.
# Categories: one column for each, which for a network with one hidden layer is the same
# as an embedding; a gap is a category of its own.

columns = ColumnTransformer(
    [
        (
            "numbers",
            SimpleImputer(strategy="median", add_indicator=True),
            make_column_selector(dtype_include="number"),
        ),
        (
            "categories",
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    ]
)
model = make_pipeline(columns, TwoLayerClassifier(random_state=0))
rows, new_rows, y, y_new = train_test_split(
    table, label, stratify=label, random_state=0
)
model.fit(rows, y)
print(f"Accuracy on new rows: {model.score(new_rows, y_new):.3f}")
model

# %%
# Searching through the pipeline
# ------------------------------
# Settings of every step can be searched at once.

search = GridSearchCV(
    model,
    {
        "columntransformer__numbers__add_indicator": [True, False],
        "twolayerclassifier__dropout": [0.2, 0.5],
    },
    scoring="neg_log_loss",
    cv=3,
).fit(rows, y)
print("Chosen:", search.best_params_)
print(f"Log-loss in three folds: {-search.best_score_:.3f}")

# %%
# Which columns matter
# --------------------
# The weights of a network do not say. What happens to the score when a column is
# shuffled does, and it speaks of the columns of the table.

result = permutation_importance(
    model, new_rows, y_new, scoring="neg_log_loss", n_repeats=5, random_state=0
)
order = result.importances_mean.argsort()
_, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.barh(
    new_rows.columns[order],
    result.importances_mean[order],
    xerr=result.importances_std[order],
)
ax.set(xlabel="Log-loss gained by shuffling the column", title="Rows held out")

plt.show()
