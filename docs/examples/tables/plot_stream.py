"""
Streams and Parquet files
=========================

``partial_fit`` takes one batch at a time. Use it for data that do not fit into memory
or that arrive over time. Means, standard deviations and class frequencies are computed
from all rows so far.
"""

# %%
# A stream that changes
# ---------------------
# Each batch is predicted before the model learns from it, so every score is measured on
# new rows. After half of the batches, two columns are swapped. The learning rate of
# ``partial_fit`` is constant, so the network can adapt.

import pickle
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier

from sknet import TwoLayerClassifier

BATCH, N_BATCHES = 200, 60
X, y = make_classification(
    BATCH * N_BATCHES,
    10,
    n_informative=5,
    n_redundant=0,
    n_classes=3,
    class_sep=1.5,
    shuffle=False,  # informative columns first
    random_state=0,
)
order = np.random.default_rng(0).permutation(len(y))
X, y = X[order], y[order]
change = len(y) // 2
X[change:, [0, 1]] = X[change:, [1, 0]]


def batches():
    """Yield the rows in the order of their arrival."""
    for start in range(0, len(y), BATCH):
        yield X[start : start + BATCH], y[start : start + BATCH]


models = {
    "TwoLayerClassifier": TwoLayerClassifier(dropout=0.1, random_state=0),
    "SGDClassifier": SGDClassifier(loss="log_loss", random_state=0),
}
scores = {name: [] for name in models}
for number, (X_new, y_new) in enumerate(batches()):
    for name, model in models.items():
        if number > 0:
            scores[name].append(model.score(X_new, y_new))
        model.partial_fit(X_new, y_new, classes=[0, 1, 2])

_, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for name, values in scores.items():
    smooth = np.convolve(values, np.ones(5) / 5, mode="valid")
    ax.plot(np.arange(len(smooth)) + 5, smooth, label=name)
    print(f"{name:<18} accuracy over the whole stream: {np.mean(values):.3f}")
ax.axvline(N_BATCHES / 2, color="gray", linestyle=":", label="two columns are swapped")
ax.set(xlabel="Batch", ylabel="Accuracy on the next batch, mean of 5")
_ = ax.legend()

# %%
# Stop, save and continue
# -----------------------
# A saved model continues where it stopped. The weights are the same as without the
# interruption.

first, second = list(batches())[:2]
model = TwoLayerClassifier(random_state=0).partial_fit(*first, classes=[0, 1, 2])
loaded = pickle.loads(pickle.dumps(model))
loaded.partial_fit(*second)
model.partial_fit(*second)
print("Same weights:", np.array_equal(loaded.coefs_[0], model.coefs_[0]))

# %%
# A Parquet file
# --------------
# A Parquet file is read one row group at a time. Write it once in random order, because
# a sorted file would show the network one class at a time. ``partial_fit`` also accepts
# data frames. The first batch determines the levels of categories.

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "rows.parquet"
frame = pd.DataFrame(X[:change], columns=[f"x{i}" for i in range(10)])
frame["shop"] = np.where(y[:change] == 0, "north", "south")
frame["label"] = y[:change]
frame.to_parquet(path, row_group_size=1_000)

stream = TwoLayerClassifier(dropout=0.1, random_state=0)
with pq.ParquetFile(path) as file:
    for number in range(file.num_row_groups):
        table = file.read_row_group(number)
        stream.partial_fit(
            table.drop(["label"]), table["label"].to_numpy(), classes=[0, 1, 2]
        )
        score = stream.score(frame.drop(columns="label"), frame["label"])
        print(f"row group {number + 1}: accuracy {score:.3f}")
folder.cleanup()

plt.show()
