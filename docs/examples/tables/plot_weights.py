"""
Weights of rows and of classes
==============================

A sample weight says how often a row counts, and ``TwoLayerClassifier`` uses it exactly.
A row of weight 3 gives the same model as three copies of it, and a row of weight 0 has
no effect. Class weights multiply the sample weights.
"""

# %%
# Weight 3 is three copies
# ------------------------
# This holds with minibatches, dropout and held-out folds, and the order of the rows
# does not matter either.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine, make_classification
from sklearn.metrics import balanced_accuracy_score, log_loss, recall_score
from sklearn.model_selection import train_test_split

from sknet import TwoLayerClassifier

X, y = load_wine(return_X_y=True)
times = np.random.default_rng(0).integers(0, 4, size=len(y))
clf = TwoLayerClassifier(random_state=0)

weighted = clf.fit(X, y, sample_weight=times).predict_proba(X)
repeated = clf.fit(X.repeat(times, axis=0), y.repeat(times)).predict_proba(X)
shuffle = np.random.default_rng(1).permutation(len(y))
shuffled = clf.fit(X[shuffle], y[shuffle], times[shuffle]).predict_proba(X)
print("largest difference, weights against copies:", np.abs(weighted - repeated).max())
print("largest difference, rows in another order: ", np.abs(weighted - shuffled).max())

# %%
# A rare class
# ------------
# One row in twenty belongs to class 1. Without weights, the probabilities are
# calibrated and seldom exceed one half. ``class_weight="balanced"`` gives both classes
# the same total weight. It finds more rows of the rare class, but it also gives more
# false alarms, and its probabilities assume that both classes are equally frequent.

X, y = make_classification(
    4000, 10, n_informative=5, weights=[0.95], class_sep=0.6, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, test_size=0.5, stratify=y, random_state=0
)
plain = TwoLayerClassifier(random_state=0).fit(X_train, y_train)
balanced = TwoLayerClassifier(class_weight="balanced", random_state=0)
balanced.fit(X_train, y_train)

print(f"{'':<9} found  balanced accuracy  log-loss  mean probability of class 1")
for name, model in {"plain": plain, "balanced": balanced}.items():
    predicted, proba = model.predict(X_test), model.predict_proba(X_test)
    print(
        f"{name:<9} {recall_score(y_test, predicted):5.2f}"
        f" {balanced_accuracy_score(y_test, predicted):18.2f}"
        f" {log_loss(y_test, proba):9.3f} {proba[:, 1].mean():28.3f}"
    )
print(f"Class 1 makes up {y_test.mean():.3f} of the rows.")

# %%
# Or move the threshold
# ---------------------
# Both models rank the rows similarly. If you need calibrated probabilities as well, fit
# without weights and choose a threshold. scikit-learn's ``TunedThresholdClassifierCV``
# does this by cross-validation.

_, ax = plt.subplots(layout="constrained")
thresholds = np.linspace(0.01, 0.99, 99)
for name, model in {"plain": plain, "balanced": balanced}.items():
    proba = model.predict_proba(X_test)[:, 1]
    scores = [balanced_accuracy_score(y_test, proba > t) for t in thresholds]
    ax.plot(thresholds, scores, label=name)
ax.axvline(y_train.mean(), color="gray", linestyle=":", label="share of class 1")
ax.set(xlabel="Threshold", ylabel="Balanced accuracy", title="Held-out rows")
_ = ax.legend()

plt.show()
