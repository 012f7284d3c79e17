"""Tables to judge classifiers on, prepared the same way for all of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TARGET = "__target__"
FEWEST_ROWS = 5  # classes with fewer are dropped: three folds need some of each
MISSING = "missing"  # a level of its own


class Fold(NamedTuple):
    """One of the three splits of a table; its number seeds the classifiers."""

    table: str
    number: int
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def read_folder(folder):
    """Yield the name and frame of each Parquet file in a folder."""
    for path in sorted(Path(folder).glob("*.parquet")):
        yield path.stem, pd.read_parquet(path)


def fetch_openml_cc18(n_tables=None):
    """Yield tables of OpenML's suite CC18 from the network, the smallest first."""
    import openml
    from sklearn.datasets import fetch_openml

    ids = sorted(openml.study.get_suite(99).data)[:n_tables]
    for data_id in ids:
        bunch = fetch_openml(data_id=data_id, as_frame=True, parser="auto")
        yield bunch.details["name"], bunch.data.assign(**{TARGET: bunch.target})


def clean(frame):
    """Features and labels: rare classes and empty columns dropped, levels as str."""
    y = frame[TARGET].astype(str)
    kept = y.map(y.value_counts()) >= FEWEST_ROWS
    X, y = frame.loc[kept].drop(columns=TARGET), y[kept].to_numpy()
    X = X.dropna(axis=1, how="all").copy()
    words = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
    for column in words:
        levels = X[column].astype(object)
        X[column] = levels.where(levels.notna(), MISSING).astype(str)
    return X, y, words


def folds(name, frame):
    """Yield three stratified folds: words one-hot, numbers imputed and scaled."""
    X, y, words = clean(frame)
    numbers = [column for column in X if column not in words]
    splitter = StratifiedKFold(3, shuffle=True, random_state=0)
    for number, (train, test) in enumerate(splitter.split(X, y)):
        prepare = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
            (
                make_pipeline(
                    SimpleImputer(strategy="median", add_indicator=True),
                    StandardScaler(),
                ),
                numbers,
            ),
        )
        X_train = np.ascontiguousarray(prepare.fit_transform(X.iloc[train]))
        X_test = np.ascontiguousarray(prepare.transform(X.iloc[test]))
        yield Fold(name, number, X_train, y[train], X_test, y[test])
