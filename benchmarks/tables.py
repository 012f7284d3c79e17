"""Tables to compare classifiers on, prepared in the same way for all of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TARGET, TEXT = "__target__", "text"
FEWEST_ROWS = 5  # classes with fewer rows are dropped: three folds need some of each
MISSING = "missing"  # a level of its own


class Fold(NamedTuple):
    """One of the three splits of a table. Its number seeds the classifiers."""

    table: str
    number: int
    X_train: object  # ndarray; csr_matrix of a text; DataFrame of a raw table
    y_train: np.ndarray  # codes 0 to n_classes - 1
    X_test: object
    y_test: np.ndarray
    categories: tuple = ()  # names of the category columns of a raw table


def read_folder(folder, names=None):
    """Yield the name and frame of each Parquet file in a folder, the smallest first."""
    paths = sorted(Path(folder).glob("*.parquet"), key=lambda path: path.stat().st_size)
    if unknown := set(names or ()) - {path.stem for path in paths}:
        raise SystemExit(f"No such tables in {folder}: {', '.join(sorted(unknown))}")
    for path in paths:
        if names is None or path.stem in names:
            yield path.stem, pd.read_parquet(path)


def clean(frame):
    """Drop rare classes and empty columns; return X, label codes, category columns."""
    labels = frame[TARGET].astype(str)
    kept = labels.map(labels.value_counts()) >= FEWEST_ROWS
    X = frame.loc[kept].drop(columns=TARGET).dropna(axis=1, how="all")
    y = np.unique(labels[kept].to_numpy(dtype=object), return_inverse=True)[1]
    categories = [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]
    return X.astype(dict.fromkeys(categories, "category")), y, tuple(categories)


def with_string_levels(X, categories):
    """Return the frame with categories as strings; a gap is a level of its own."""
    levels = {column: X[column].astype(object) for column in categories}
    return X.assign(
        **{c: v.where(v.notna(), MISSING).astype(str) for c, v in levels.items()}
    )


def preparation(X, categories):
    """Make the transformer from a frame with string levels to the common matrix."""
    if list(X) == [TEXT]:
        return make_column_transformer(
            (TfidfVectorizer(sublinear_tf=True, min_df=2), TEXT), sparse_threshold=1.0
        )
    imputer = SimpleImputer(strategy="median", add_indicator=True)
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(categories)),
        (
            make_pipeline(imputer, StandardScaler()),
            [column for column in X if column not in categories],
        ),
    )


def folds(name, frame, raw=False):
    """Yield three stratified folds.

    Categories are one-hot encoded, numbers are imputed by the median and scaled, and a
    table of one column ``text`` becomes sparse TF-IDF. With ``raw``, X is the frame of
    numbers, categories and gaps; a text has no raw form and is sparse there, too.
    """
    X, y, categories = clean(frame)
    raw = raw and list(X) != [TEXT]
    if not raw:
        X = with_string_levels(X, categories)
    splitter = StratifiedKFold(3, shuffle=True, random_state=0)
    for number, (train, test) in enumerate(splitter.split(X, y)):
        X_train, X_test = X.iloc[train], X.iloc[test]
        if not raw:
            prepare = preparation(X, categories)
            X_train, X_test = (
                sp.csr_matrix(a) if sp.issparse(a) else np.ascontiguousarray(a)
                for a in (prepare.fit_transform(X_train), prepare.transform(X_test))
            )
        known = categories if raw else ()
        yield Fold(name, number, X_train, y[train], X_test, y[test], known)
