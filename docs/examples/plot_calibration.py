"""
Calibrated probabilities
========================

Of the rows with a predicted probability of 80 %, about 80 % should belong to the class.
Neural networks are often overconfident. ``TwoLayerClassifier`` predicts each training
row with a member that did not train on it and calibrates the probabilities on these
predictions, so a single fit is enough.
"""

# %%
# Four ways to get probabilities
# ------------------------------
# The classes overlap, and a few percent of the labels are wrong. ``MLPClassifier`` is
# shown alone and inside ``CalibratedClassifierCV``, which fits it five times. One
# member without early stopping shows the effect of the temperature.
#
# The ``ConvergenceWarning`` of ``MLPClassifier`` is silenced here.

import time
import warnings

import matplotlib.pyplot as plt
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier

warnings.filterwarnings(
    "ignore", category=ConvergenceWarning, module="sklearn.neural_network"
)

X, y = make_classification(
    6000, 12, n_informative=6, flip_y=0.05, class_sep=0.7, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=800, stratify=y, random_state=0
)
mlp = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
models = {
    "TwoLayerClassifier": TwoLayerClassifier(random_state=0),
    "one member, no early stopping": TwoLayerClassifier(n_estimators=1, random_state=0),
    "MLPClassifier": mlp,
    "MLPClassifier, calibrated": CalibratedClassifierCV(
        mlp, method="temperature", cv=5
    ),
}

# %%
# Log-loss and Brier score
# ------------------------
# Lower is better for both.

print(f"{'':<30} log-loss  Brier  seconds")
for name, model in models.items():
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    proba = model.predict_proba(X_test)
    losses = log_loss(y_test, proba), brier_score_loss(y_test, proba[:, 1])
    print(f"{name:<30} {losses[0]:8.3f} {losses[1]:6.3f} {seconds:8.1f}")

clf = models["TwoLayerClassifier"]
print(f"\nThe temperature of TwoLayerClassifier is {clf.temperature_:.2f}")

# %%
# The curves
# ----------
# The dotted diagonal marks perfect calibration. The curve of an overconfident model is
# flatter. The lower panel is a histogram of the predicted probabilities.

figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(7, 7.5), height_ratios=[2, 1], layout="constrained"
)
for name, model in models.items():
    display = CalibrationDisplay.from_estimator(
        model, X_test, y_test, n_bins=10, strategy="quantile", name=name, ax=top
    )
    bottom.hist(display.y_prob, range=(0, 1), bins=20, histtype="step", label=name)
top.set_title("Calibration on held-out rows")
bottom.set(xlabel="Predicted probability", ylabel="Rows")

plt.show()
