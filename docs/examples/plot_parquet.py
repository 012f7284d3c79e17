"""
A file larger than the memory
=============================

``partial_fit`` needs one batch at a time, and a Parquet file can be read one row group
at a time. Together they train on a file of any size in a memory that does not grow
with it. The package pyarrow reads the file.
"""

# %%
# A file in row groups
# --------------------
# A limit is set, here a small one for a short example: what training and reading may
# use at any time. The file is written to be more than ten times as large, piece by
# piece, as it would come out of a database. A row group is the least that can be read
# at once, so its size is the first thing to decide: well below the limit.

import tempfile
import tracemalloc
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sknet import TwoLayerClassifier

LIMIT = 8 * 2**20  # bytes
N_COLUMNS, GROUP = 40, 2_500
NAMES = [f"x{i}" for i in range(N_COLUMNS)]
rng = np.random.default_rng(0)


def draw(n_rows):
    """Rows, and labels that depend on the first two columns' signs."""
    X = rng.normal(size=(n_rows, N_COLUMNS)).astype(np.float32)
    return X, np.where(X[:, 0] * X[:, 1] > 0, "same", "different")


folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "rows.parquet"
schema = pa.schema([*((name, pa.float32()) for name in NAMES), ("label", pa.string())])
with pq.ParquetWriter(path, schema) as file:
    while path.stat().st_size < 11 * LIMIT:
        X, label = draw(GROUP)
        file.write_table(pa.table([*X.T.copy(), label], schema=schema))
X_new, label_new = draw(2_000)
del X, label

file = pq.ParquetFile(path)
print("The file is", path.stat().st_size // LIMIT, "times as large as the limit")

# %%
# One row group after the other
# -----------------------------
# They come in random order. The rows inside a group are shuffled by ``partial_fit``
# itself. If the file is sorted, by time or by label, that is not enough: write it once
# in random order. For a second pass, loop once more.
#
# ``tracemalloc`` sees what NumPy allocates, pyarrow's pool what is read.


def batches(file):
    """Yield the rows of each row group, in random order."""
    for number in rng.permutation(file.num_row_groups):
        table = file.read_row_group(number)
        columns = [table[name].to_numpy() for name in NAMES]
        yield np.column_stack(columns), table["label"].to_numpy()


clf = TwoLayerClassifier(
    64, n_estimators=1, learning_rate="invscaling", power_t=0.3, random_state=0
)
accuracy, most = [], 0
pool = pa.default_memory_pool()
tracemalloc.start()
for X, label in batches(file):
    tracemalloc.reset_peak()
    clf.partial_fit(X, label, classes=["different", "same"])
    most = max(most, tracemalloc.get_traced_memory()[1] + pool.bytes_allocated())
    accuracy.append(clf.score(X_new, label_new))
tracemalloc.stop()
print("Row groups:", file.num_row_groups)
print(f"Most memory at once: {most / LIMIT:.0%} of the limit")
print(f"Accuracy on new rows: {accuracy[-1]:.3f}")

_, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(np.arange(len(accuracy)) + 1, accuracy)
_ = ax.set(xlabel="Row groups learnt", ylabel="Accuracy on new rows")

# %%
# Only some columns
# -----------------
# Parquet stores column by column: what is not asked for is not read. The two columns
# that matter are less than a tenth of the file.

few = TwoLayerClassifier(16, n_estimators=1, random_state=0)
for number in range(file.num_row_groups):
    table = file.read_row_group(number, columns=["x0", "x1", "label"])
    X = np.column_stack([table["x0"].to_numpy(), table["x1"].to_numpy()])
    few.partial_fit(X, table["label"].to_numpy(), classes=["different", "same"])
print(f"Accuracy with two columns: {few.score(X_new[:, :2], label_new):.3f}")

file.close()
folder.cleanup()
plt.show()
