"""
How many members, how much dropout
==================================

``n_estimators`` networks are trained at once and their probabilities averaged. Their
first layers are one matrix product, so that several cost less than as many fits.
``dropout`` switches off a share of the hidden units at each step. Both keep the model
from following single rows; this is what each does to loss and time.
"""

# %%
# Members
# -------
# One member has to hold out rows to know when to stop; here it is told to hold out a
# tenth. Several take turns, so that each row is trained on by all but one of them.

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sknet import LossCurveDisplay, TwoLayerClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=600, stratify=y, random_state=0
)


def losses_and_seconds(**settings):
    """Log-losses on new rows with three seeds, and the mean time of a fit."""
    losses, start = [], time.perf_counter()
    for seed in range(3):
        clf = TwoLayerClassifier(early_stopping=True, random_state=seed, **settings)
        losses.append(log_loss(y_test, clf.fit(X_train, y_train).predict_proba(X_test)))
    return losses, (time.perf_counter() - start) / 3


sizes = [1, 2, 4, 12]
results = [losses_and_seconds(n_estimators=size) for size in sizes]
losses = np.array([losses for losses, _ in results])
seconds = np.array([seconds for _, seconds in results])
print("members  log-loss, three seeds   seconds a fit")
for size, row, taken in zip(sizes, losses, seconds, strict=True):
    print(f"{size:7} {'  '.join(f'{loss:.3f}' for loss in row)} {taken:15.2f}")

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(sizes, losses, "o", color="tab:blue", alpha=0.5)
left.plot(sizes, losses.mean(axis=1), color="tab:blue")
left.set(xlabel="Members", ylabel="Log-loss, rows held out", ylim=(0, None))
right.plot(sizes, seconds, "o-", color="tab:orange", label="measured")
alone = seconds[0] * np.array(sizes)
right.plot(sizes, alone, ":", color="gray", label="as many fits of one member")
right.set(xlabel="Members", ylabel="Seconds a fit", ylim=(0, None))
_ = right.legend()

# %%
# Dropout
# -------
# Without it the training loss falls fastest, for the network learns the rows by heart.
# The dashed validation loss is what counts.

_, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
for dropout in [0.0, 0.2, 0.5]:
    clf = TwoLayerClassifier(dropout=dropout, random_state=0).fit(X_train, y_train)
    LossCurveDisplay.from_estimator(clf, ax=ax, name=f"dropout {dropout}")
    loss = log_loss(y_test, clf.predict_proba(X_test))
    print(f"dropout {dropout}: log-loss on new rows {loss:.3f}, epoch {clf.best_iter_}")
ax.set(yscale="log", title="Digits")
_ = ax.legend(fontsize="small", ncols=2)

plt.show()
