"""One adapter each: a seed to a classifier with the defaults its users would meet."""

import importlib.util

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from sknet import TwoLayerClassifier

OURS, PEER = "TwoLayerClassifier", "MLPClassifier"


class Calibrated(ClassifierMixin, BaseEstimator):
    """MLPClassifier in scikit-learn's own calibration: five fits, or fewer.

    CalibratedClassifierCV refuses more folds than the rarest class has rows.
    """

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, X, y):
        """Fit with as many folds as the data allow, five at most."""
        fewest = np.unique(y, return_counts=True)[1].min()
        network = MLPClassifier(random_state=self.seed)
        self.model_ = CalibratedClassifierCV(
            network, method="temperature", cv=min(5, int(fewest))
        ).fit(X, y)
        self.classes_ = self.model_.classes_
        return self

    def predict_proba(self, X):
        """Mean of the folds' calibrated probabilities."""
        return self.model_.predict_proba(X)


COMPETITORS = {
    OURS: lambda seed: TwoLayerClassifier(random_state=seed),
    PEER: lambda seed: MLPClassifier(random_state=seed),
    "MLPClassifier, calibrated": Calibrated,
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


if importlib.util.find_spec("skorch"):
    import torch
    from sklearn.preprocessing import LabelEncoder
    from skorch import NeuralNetClassifier
    from skorch.callbacks import EarlyStopping

    class Skorch(ClassifierMixin, BaseEstimator):
        """The net of skorch's first example, with what its users add to it.

        100 ReLU units as MLPClassifier has, Adam, float32 rows, labels from 0, and
        early stopping on skorch's own fifth of the rows; with the best epoch's weights.
        """

        def __init__(self, seed=0):
            self.seed = seed

        def fit(self, X, y):
            torch.manual_seed(self.seed)
            torch.set_num_threads(1)
            self.encoder_ = LabelEncoder().fit(y)
            self.classes_ = self.encoder_.classes_
            layers = (
                torch.nn.Linear(X.shape[1], 100),
                torch.nn.ReLU(),
                torch.nn.Linear(100, len(self.classes_)),
            )
            self.net_ = NeuralNetClassifier(
                torch.nn.Sequential(*layers),
                criterion=torch.nn.CrossEntropyLoss,
                optimizer=torch.optim.Adam,
                lr=0.001,
                max_epochs=200,
                callbacks=[EarlyStopping(patience=10, load_best=True)],
                verbose=0,
            )
            self.net_.fit(X.astype(np.float32), self.encoder_.transform(y))
            return self

        def predict_proba(self, X):
            logits = self.net_.forward(X.astype(np.float32))
            return torch.softmax(logits.double(), dim=1).numpy()

    COMPETITORS["skorch"] = lambda seed: Skorch(seed)
