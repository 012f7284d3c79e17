"""
Saving and serving a model
==========================

This example saves a model with skops, where you need to trust a single type, and
exports it to ONNX, which also runs in other languages. The last part measures the time
to predict a single row.
"""

# %%
# A model
# -------

import time

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import skops.io
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer

import sknet.onnx
from sknet import TwoLayerClassifier

X, y = load_breast_cancer(return_X_y=True)
models = {
    "blend": TwoLayerClassifier(random_state=0).fit(X, y),
    "blend=False": TwoLayerClassifier(blend=False, random_state=0).fit(X, y),
    "n_estimators=1": TwoLayerClassifier(n_estimators=1, random_state=0).fit(X, y),
}
clf = models["blend"]

# %%
# skops
# -----

saved = skops.io.dumps(clf)
print("Types to trust:", skops.io.get_untrusted_types(data=saved))
loaded = skops.io.loads(saved, trusted=["sknet.TwoLayerClassifier"])
print(
    "Same predictions:", np.array_equal(loaded.predict_proba(X), clf.predict_proba(X))
)

# %%
# ONNX
# ----

sknet.onnx.register()
graph = to_onnx(clf, X[:1], options={"zipmap": False}).SerializeToString()
session = onnxruntime.InferenceSession(graph)
labels, p = session.run(None, {"X": X})
print(f"Size: {len(graph) / 1e6:.1f} MB")
print(
    f"Largest difference of a probability: {np.abs(p - clf.predict_proba(X)).max():.0e}"
)

# %%
# The time of one row
# -------------------
# A blend has more networks than one variant.


def milliseconds(predict, n=200):
    """Return the median time of a call."""
    times = []
    for i in range(n):
        start = time.perf_counter()
        predict(X[i : i + 1])
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))


taken = {name: milliseconds(model.predict_proba) for name, model in models.items()}
taken["blend, ONNX"] = milliseconds(lambda row: session.run(None, {"X": row}))
for name, value in taken.items():
    print(f"{name:<15} {value:.2f} ms")

_, ax = plt.subplots(figsize=(7, 2.5), layout="constrained")
ax.barh(list(taken)[::-1], list(taken.values())[::-1])
_ = ax.set(xlabel="Milliseconds for one row")

plt.show()
