"""
Groups: several rows of one patient
===================================

If a patient has several similar rows, a held-out row does not show how well a model
predicts new patients, because the network recognizes the patient. With ``groups``, the
rows of a patient are left out together, so early stopping, calibration and
``oof_proba_`` are based on unseen patients.
"""

# %%
# Sixty patients with twelve visits each
# --------------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import log_loss

from sknet import TwoLayerClassifier


def visits(seed, n_patients=60, n_visits=12):
    """Return similar rows of each patient, the labels and the patients' numbers."""
    rng = np.random.default_rng(seed)
    patients = rng.normal(size=(n_patients, 20))
    ill = patients[:, :3].sum(axis=1) + 2 * rng.normal(size=n_patients) > 0
    rows = patients.repeat(n_visits, axis=0)
    rows += 0.1 * rng.normal(size=rows.shape)
    return rows, ill.repeat(n_visits), np.arange(n_patients).repeat(n_visits)


X, y, patient = visits(seed=0)
X_new, y_new, _ = visits(seed=1, n_patients=500)

# %%
# With and without groups
# -----------------------
# Without groups, the out-of-fold loss is far too optimistic, and the probabilities for
# new patients are far too confident.

print(f"{'':<15} out-of-fold  new patients   (log-loss)")
models = {}
for name, groups in {"without groups": None, "with groups": patient}.items():
    clf = TwoLayerClassifier(store_oof_proba=True, random_state=0)
    models[name] = clf.fit(X, y, groups=groups)
    known = log_loss(y, clf.oof_proba_)
    new = log_loss(y_new, clf.predict_proba(X_new))
    print(f"{name:<15} {known:11.2f} {new:13.2f}")

# %%
# Calibration for new patients
# ----------------------------

_, ax = plt.subplots(layout="constrained")
for name, clf in models.items():
    CalibrationDisplay.from_estimator(
        clf, X_new, y_new, n_bins=8, strategy="quantile", name=name, ax=ax
    )
_ = ax.set(
    title="New patients",
    xlabel="Predicted probability of being ill",
    ylabel="Share that is ill",
)

plt.show()
