"""
Members, dropout and the blend
==============================

``n_estimators`` networks, called members, are trained at once, and their probabilities
are averaged. ``dropout`` switches off a share of the hidden units at each step. The
blend trains several variants that differ in dropout and in the encoding of numeric
columns, and weights them by their loss on held-out rows.
"""

# %%
# Members
# -------

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sknet import LossCurveDisplay, TwoLayerClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=600, stratify=y, random_state=0
)
sizes, losses, seconds = [1, 2, 4, 12], [], []
for size in sizes:
    start = time.perf_counter()
    clf = TwoLayerClassifier(
        n_estimators=size, blend=False, early_stopping=True, random_state=0
    ).fit(X_train, y_train)
    seconds.append(time.perf_counter() - start)
    losses.append(log_loss(y_test, clf.predict_proba(X_test)))
    print(f"{size:2} members: log-loss {losses[-1]:.3f}, {seconds[-1]:.1f} s")

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.plot(sizes, losses, "o-")
left.set(xlabel="Members", ylabel="Log-loss, held-out rows", ylim=(0, None))
right.plot(sizes, seconds, "o-", color="tab:orange", label="one fit")
alone = seconds[0] * np.array(sizes)
right.plot(sizes, alone, ":", color="gray", label="as many fits of one member")
right.set(xlabel="Members", ylabel="Seconds", ylim=(0, None))
_ = right.legend()

# %%
# Dropout
# -------
# Without dropout, the training loss falls fastest, because the network memorizes the
# rows. Compare the settings by the validation loss, the dashed line.

_, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
for dropout in [0.0, 0.2, 0.5]:
    clf = TwoLayerClassifier(dropout=dropout, random_state=0).fit(X_train, y_train)
    LossCurveDisplay.from_estimator(clf, ax=ax, name=f"dropout {dropout}")
    loss = log_loss(y_test, clf.predict_proba(X_test))
    print(f"dropout {dropout}: log-loss on new rows {loss:.3f}, epoch {clf.best_iter_}")
ax.set(yscale="log", title="Digits")
_ = ax.legend(fontsize="small", ncols=2)

# %%
# The blend
# ---------
# In the first table, the probability is a smooth function of the columns. In the second
# table, it jumps at thresholds. ``blend_weights_`` shows which variants suit each of
# them.

tables = {"smooth": make_classification(1500, 10, n_informative=6, random_state=0)}
steps = np.random.default_rng(0).random((1500, 10))
tables["thresholds"] = steps, np.sin(20 * steps[:, :3]).sum(axis=1) > 0

_, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
names = ["masked", "knots", "ranks"]
for i, (table, (X, y)) in enumerate(tables.items()):
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    plain = TwoLayerClassifier(blend=False, random_state=0).fit(X_train, y_train)
    blend = TwoLayerClassifier(random_state=0).fit(X_train, y_train)
    of_plain = log_loss(y_test, plain.predict_proba(X_test))
    of_blend = log_loss(y_test, blend.predict_proba(X_test))
    print(f"{table:<10} log-loss: plain {of_plain:.3f}, blend {of_blend:.3f}")
    ax.bar(np.arange(3) + 0.4 * i, blend.blend_weights_, 0.4, label=table)
ax.set_xticks(np.arange(3) + 0.2, names)
ax.set(ylabel="Weight in the blend")
_ = ax.legend()

plt.show()
