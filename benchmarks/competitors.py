"""One adapter each: a seed to a classifier with the defaults its users would meet."""

import importlib.util

from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from sknet import TwoLayerClassifier

OURS, PEER = "TwoLayerClassifier", "MLPClassifier"


def calibrated(seed):
    """MLPClassifier in scikit-learn's own calibration, five fits."""
    return CalibratedClassifierCV(
        MLPClassifier(random_state=seed), method="temperature", cv=5
    )


COMPETITORS = {
    OURS: lambda seed: TwoLayerClassifier(random_state=seed),
    PEER: lambda seed: MLPClassifier(random_state=seed),
    "MLPClassifier, calibrated": calibrated,
    "LogisticRegression": lambda seed: LogisticRegression(max_iter=1000),
    "RandomForest(300)": lambda seed: RandomForestClassifier(300, random_state=seed),
    "HistGradientBoosting": lambda seed: HistGradientBoostingClassifier(
        random_state=seed
    ),
}

if importlib.util.find_spec("pytabkit"):
    from pytabkit import RealMLP_TD_S_Classifier

    COMPETITORS["RealMLP_TD_S"] = lambda seed: RealMLP_TD_S_Classifier(
        random_state=seed, device="cpu", n_threads=1
    )
