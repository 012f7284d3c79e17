"""
Out-of-fold probabilities from one fit
======================================

Each member leaves out one fold of the rows. After a single fit, every row therefore has
a prediction from a network that did not train on it, and ``store_oof_proba=True`` keeps
these predictions. Use them instead of ``cross_val_predict`` to estimate the loss, to
choose a threshold or to find wrong labels.
"""

# %%
# One fit instead of a cross-validation
# -------------------------------------
# ``cross_val_predict`` fits all members again for each fold and predicts with their
# mean. ``oof_proba_`` comes with the fit, and a single member predicts each row.
#
# The rows of each class are assigned to folds at random. If rows belong together, such
# as the digits of one writer, pass ``groups`` to ``fit``.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from sknet import TwoLayerClassifier

X, y = load_digits(return_X_y=True)
clf = TwoLayerClassifier(
    n_estimators=5, blend=False, store_oof_proba=True, random_state=0
)

start = time.perf_counter()
clf.fit(X, y)
one_fit = time.perf_counter() - start

start = time.perf_counter()
folds = StratifiedKFold(5, shuffle=True, random_state=0)
crossed = cross_val_predict(clf, X, y, cv=folds, method="predict_proba")
five_fits = time.perf_counter() - start

print(f"{'':<18} accuracy  log-loss  seconds")
for name, proba, seconds in [
    ("oof_proba_", clf.oof_proba_, one_fit),
    ("cross_val_predict", crossed, five_fits),
    ("on training rows", clf.predict_proba(X), one_fit),
]:
    accuracy = accuracy_score(y, proba.argmax(axis=1))
    print(f"{name:<18} {accuracy:8.3f} {log_loss(y, proba):9.3f} {seconds:8.1f}")

# %%
# The last line shows why out-of-fold predictions are needed. On its training rows, the
# model looks better than it is.
#
# Finding wrong labels
# --------------------
# Thirty labels are changed on purpose. The rows are sorted by the out-of-fold
# probability of their given label.

rng = np.random.default_rng(0)
wrong = rng.choice(len(y), size=30, replace=False)
y_given = y.copy()
y_given[wrong] = (y[wrong] + rng.integers(1, 10, size=30)) % 10

clf.fit(X, y_given)
of_given_label = clf.oof_proba_[np.arange(len(y)), y_given]
suspects = of_given_label.argsort()
found = np.isin(suspects, wrong).cumsum()
print(f"Of the first 30 rows, {found[29]} have a wrong label.")
print(f"Of the first 60 rows, {found[59]}.")

_, axes = plt.subplots(2, 6, figsize=(10, 4), layout="constrained")
for ax, row in zip(axes.flat, suspects, strict=False):
    ax.imshow(X[row].reshape(8, 8), cmap="gray_r")
    mark = "wrong" if row in wrong else "right"
    ax.set_title(f"labelled {y_given[row]}\n({mark})")
    ax.set_axis_off()

plt.show()
