"""
A stream of batches
===================

``partial_fit`` takes one batch after the other: for data that do not fit into memory,
or that have not all arrived yet. Column means, deviations and class frequencies are
those of all rows so far.
"""

# %%
# Judge, then learn
# -----------------
# Each batch is predicted before it is learnt, so that every prediction is of rows that
# the network has not seen. The labels that will ever come are named at the first call.
# Half-way the world changes: two columns change places. A constant learning rate, which
# ``partial_fit`` always has, lets the network follow.

import pickle

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from sknet import TwoLayerClassifier

BATCH, N_BATCHES = 200, 100
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
    "TwoLayerClassifier": TwoLayerClassifier(random_state=0),
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
# Stop, save, go on
# -----------------
# A saved model goes on where it stopped: with its optimizer's moments, its random
# streams and its statistics. Interrupted or not, the weights are the same.

first, second = list(batches())[:2]
model = TwoLayerClassifier(random_state=0).partial_fit(*first, classes=[0, 1, 2])
loaded = pickle.loads(pickle.dumps(model))
loaded.partial_fit(*second)
model.partial_fit(*second)
print("Saved and not saved agree:", np.array_equal(loaded.coefs_[0], model.coefs_[0]))

# %%
# Several passes
# --------------
# Where the data can be read again, more passes help. There is no early stopping in a
# stream: watch rows that are kept aside. For the second kind of data, the digits,
# ``fit`` is shown beside it, which has a falling learning rate, early stopping and a
# temperature, but needs all rows at once.

X_digits, y_digits = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X_digits, y_digits, stratify=y_digits, random_state=0
)
stream = TwoLayerClassifier(
    learning_rate="invscaling", learning_rate_init=0.02, power_t=0.3, random_state=0
)
accuracy = []
for _ in range(12):  # passes
    for start in range(0, len(y_train), BATCH):
        part = slice(start, start + BATCH)
        stream.partial_fit(X_train[part], y_train[part], classes=np.arange(10))
    accuracy.append(stream.score(X_test, y_test))
whole = TwoLayerClassifier(random_state=0).fit(X_train, y_train).score(X_test, y_test)

_, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(np.arange(len(accuracy)) + 1, accuracy, marker="o", label="partial_fit")
ax.axhline(whole, color="gray", linestyle="--", label="fit, all rows at once")
ax.set(
    xlabel="Passes over the batches", ylabel="Accuracy, rows held out", title="Digits"
)
_ = ax.legend()

plt.show()
