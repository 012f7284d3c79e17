"""
A raw table
===========

``TwoLayerClassifier`` takes a data frame with numbers, categories and missing values.
This script compares it with the same network after a ``ColumnTransformer``, and with
gradient boosting, which takes the data frame too.
"""

# %%
# The table
# ---------
# The script generates the table. The label depends on all columns, and one in twenty
# values is missing. The column "street" has 200 levels, so its levels are replaced
# by a statistic of the labels.

import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sknet import TwoLayerClassifier

rng = np.random.default_rng(0)
n = 3000
street = rng.integers(0, 200, n)
table = pd.DataFrame(
    {
        "income": rng.lognormal(10, 0.6, n),
        "age": rng.uniform(18, 90, n),
        "town": rng.choice(
            ["Ulm", "Bonn", "Kiel", "Trier"], n, p=[0.5, 0.3, 0.17, 0.03]
        ),
        "plan": rng.choice(["basic", "family", "pro"], n),
        "street": [f"street {number}" for number in street],
    }
)
score = (
    np.log(table["income"] / 22_000)
    - ((table["age"] - 50) / 25) ** 2
    + table["plan"].map({"basic": -1, "family": 0.5, "pro": 1})
    + 2 * (table["town"] == "Trier")
    + rng.normal(size=200)[street]
)
label = np.where(score + rng.logistic(0, 0.4, n) > 0, "stays", "leaves")
categories = ["town", "plan", "street"]
table = table.astype(dict.fromkeys(categories, "category"))
table = table.mask(rng.random(table.shape) < 0.05)
table.head()

# %%
# Three classifiers
# -----------------

X_train, X_test, y_train, y_test = train_test_split(
    table, label, stratify=label, random_state=0
)
preparation = make_column_transformer(
    (SimpleImputer(add_indicator=True), make_column_selector(dtype_include="number")),
    (
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
        make_column_selector(dtype_exclude="number"),
    ),
)
models = {
    "raw frame": TwoLayerClassifier(random_state=0),
    "ColumnTransformer": make_pipeline(preparation, TwoLayerClassifier(random_state=0)),
    "gradient boosting": HistGradientBoostingClassifier(random_state=0),
}
for name, model in models.items():
    start = time.perf_counter()
    proba = model.fit(X_train, y_train).predict_proba(X_test)
    seconds = time.perf_counter() - start
    print(f"{name:<18} log-loss {log_loss(y_test, proba):.3f}, {seconds:4.1f} s")
clf = models["raw frame"]

# %%
# What the network sees
# ---------------------
# ``input_names_`` names the inputs. The streets became one input, a statistic of the
# labels.

print(*clf.input_names_, sep="\n")

# %%
# The size of the input weights of the first variant
# --------------------------------------------------

size = np.sqrt((clf.coefs_[0] ** 2).mean(axis=(0, 2)))
order = size.argsort()
_, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.barh(clf.input_names_[order], size[order])
_ = ax.set(xlabel="Root mean square weight")

# %%
# New levels and missing values
# -----------------------------
# Levels that ``fit`` did not see share one input with rare levels, and a missing number
# is replaced by the column's mean.

new = pd.DataFrame(
    {"income": [20_000.0, None], "age": [40.0, 40.0], "town": ["Ulm", "Rome"]}
).assign(plan="pro", street="a new street")
pd.DataFrame(clf.predict_proba(new), columns=clf.classes_).round(3)

# %%

plt.show()
