"""The classifiers that are compared, with their defaults.

Their packages are imported when a classifier is made, so that none is required.
"""

import importlib
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from tables import with_string_levels

OURS, PEER = "TwoLayerClassifier", "MLPClassifier"
THREADS = int(os.environ.get("OMP_NUM_THREADS", 1))


class Competitor(NamedTuple):
    """Where a classifier is found, how it is made, and what it takes for X."""

    module: str
    name: str
    settings: dict | None = None
    seed: str = "random_state"
    adapt: Callable = lambda model, fold: model
    raw: bool = False  # takes frames with categories and gaps
    sparse: bool = True  # takes sparse rows; others are given dense ones

    @property
    def package(self):
        """The package to be installed."""
        return self.module.partition(".")[0]

    def make(self, fold, **settings):
        """Make an unfitted classifier for a fold, whose number is the seed."""
        kind = getattr(importlib.import_module(self.module), self.name)
        model = kind(**{self.seed: fold.number}, **self.settings or {})
        return self.adapt(model.set_params(**settings) if settings else model, fold)


def calibrated(model, fold):
    """scikit-learn's calibration, with no more folds than the rarest class has rows."""
    cv = min(5, int(np.bincount(fold.y_train).min()))
    return CalibratedClassifierCV(model, method="temperature", cv=cv)


def name_categories(model, fold):
    """Name CatBoost the categories of a raw frame; it refuses gaps in them."""
    if not fold.categories:
        return model
    model.set_params(cat_features=list(fold.categories))
    columns = {"categories": fold.categories}
    return make_pipeline(
        FunctionTransformer(with_string_levels, kw_args=columns), model
    )


MLP, ENSEMBLE = ("sklearn.neural_network", "MLPClassifier"), "sklearn.ensemble"
TORCH = {"device": "cpu", "n_threads": THREADS}
COMPETITORS = {
    OURS: Competitor("sknet", "TwoLayerClassifier", raw=True),
    PEER: Competitor(*MLP),
    "MLPClassifier, calibrated": Competitor(*MLP, adapt=calibrated),
    "LogisticRegression": Competitor(
        "sklearn.linear_model", "LogisticRegression", {"max_iter": 1000}
    ),
    "RandomForest(300)": Competitor(
        ENSEMBLE, "RandomForestClassifier", {"n_estimators": 300}
    ),
    "HistGradientBoosting": Competitor(
        ENSEMBLE, "HistGradientBoostingClassifier", raw=True, sparse=False
    ),
    "CatBoost": Competitor(
        "catboost",
        "CatBoostClassifier",
        {"thread_count": THREADS, "verbose": False, "allow_writing_files": False},
        adapt=name_categories,
        raw=True,
    ),
    "LightGBM": Competitor(
        "lightgbm", "LGBMClassifier", {"n_jobs": THREADS, "verbose": -1}
    ),
    "XGBoost": Competitor("xgboost", "XGBClassifier", {"n_jobs": THREADS}),
    "RealMLP_TD": Competitor("pytabkit", "RealMLP_TD_Classifier", TORCH, sparse=False),
    "TabM_D": Competitor("pytabkit", "TabM_D_Classifier", TORCH, sparse=False),
}
SLOW = {"RealMLP_TD", "TabM_D"}  # minutes a fit: they run only if they are named
