"""Quality of probabilities on real tables, ours beside its peers, all at defaults.

    python benchmarks/quality.py --data FOLDER     # Parquet files, label in __target__
    python benchmarks/quality.py --openml          # OpenML-CC18, needs the network
    python benchmarks/plots.py                     # then: the picture

Every fit has one BLAS thread; the competitors of a fold take turns, so that a busy
machine is slow for all of them. Writes one row a fit to results/quality.csv and
prints the means over folds, then over tables.
"""

import argparse
import itertools
import os
import platform
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy loads its BLAS

import numpy as np
import pandas as pd
import sklearn
from competitors import COMPETITORS, OURS, PEER
from joblib import Parallel, delayed
from sklearn.metrics import log_loss, roc_auc_score
from tables import fetch_openml_cc18, folds, read_folder

import sknet

RESULTS = Path(__file__).parent / "results"
CLIP = 1e-7  # a probability of zero would decide the mean alone
N_BINS = 15


def calibration_error(proba, hit):
    """Expected calibration error of the most probable class, in equal-width bins."""
    confidence = proba.max(axis=1)
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, hit - confidence, minlength=N_BINS)
    return np.abs(gaps).sum() / len(hit)


def measure(fold, name, makers=COMPETITORS):
    """Fit one competitor on one fold; a dict of figures."""
    warnings.simplefilter("ignore")
    model = makers[name](fold.number)
    start = time.perf_counter()
    model.fit(fold.X_train, fold.y_train)
    fitted = time.perf_counter()
    proba = model.predict_proba(fold.X_test)
    done = time.perf_counter()
    proba = np.clip(proba, CLIP, None)
    proba /= proba.sum(axis=1, keepdims=True)
    classes = model.classes_
    hit = classes[proba.argmax(axis=1)] == fold.y_test
    score = proba[:, 1] if len(classes) == 2 else proba
    return {
        "table": fold.table,
        "fold": fold.number,
        "competitor": name,
        "log_loss": log_loss(fold.y_test, proba, labels=classes),
        "accuracy": hit.mean(),
        "calibration_error": calibration_error(proba, hit),
        "roc_auc": roc_auc_score(fold.y_test, score, multi_class="ovr", labels=classes),
        "fit_seconds": fitted - start,
        "predict_seconds": done - fitted,
    }


def run_fold(fold, names):
    """All competitors on one fold, beginning with another one on each."""
    turn = fold.number % len(names)
    return [measure(fold, name) for name in names[turn:] + names[:turn]]


def summarize(results):
    """Means over folds, then over tables; ranks and wins by log-loss."""
    figures = results.groupby(["table", "competitor"]).mean(numeric_only=True)
    figures = figures.drop(columns="fold").unstack("competitor")
    summary = figures.mean().unstack(0)
    seconds = results.groupby("competitor")["fit_seconds"].sum()
    summary["fit_time_ratio"] = seconds / seconds[PEER]
    for metric, ascending in (("log_loss", True), ("accuracy", False)):
        ranks = figures[metric].rank(axis=1, ascending=ascending)
        summary[f"rank_{metric}"] = ranks.mean()
    losses = figures["log_loss"]
    summary["tables_won"] = losses.lt(losses[PEER], axis=0).mean()
    columns = ["log_loss", "accuracy", "calibration_error", "roc_auc", "rank_log_loss"]
    columns += ["rank_accuracy", "tables_won", "fit_time_ratio"]
    return summary[columns].sort_values("log_loss")


def environment():
    """Versions that the figures depend on, in one line."""
    return (
        f"sknet {sknet.__version__}, scikit-learn {sklearn.__version__}, "
        f"NumPy {np.__version__}, Python {platform.python_version()}, "
        f"BLAS threads {os.environ['OMP_NUM_THREADS']}"
    )


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", help="a folder of Parquet files")
    source.add_argument("--openml", action="store_true", help="fetch OpenML-CC18")
    parser.add_argument("--only", nargs="*", default=list(COMPETITORS))
    parser.add_argument("--tables", nargs="*", help="these alone, whatever --skip says")
    parser.add_argument("--folds", type=int, default=3, help="of the three of a table")
    parser.add_argument("--skip", nargs="*", default=["letter"], help="tables left out")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--out", default=str(RESULTS / "quality.csv"))
    options = parser.parse_args()
    tables = fetch_openml_cc18() if options.openml else read_folder(options.data)
    work = [
        fold
        for name, frame in tables
        if (name in options.tables if options.tables else name not in options.skip)
        for fold in itertools.islice(folds(name, frame), options.folds)
    ]
    rows = Parallel(options.n_jobs)(delayed(run_fold)(f, options.only) for f in work)
    results = pd.DataFrame([row for fold in rows for row in fold])
    results.to_csv(options.out, index=False, float_format="%.6g")
    print(environment())
    print(
        f"{results['table'].nunique()} tables, tables_won against {PEER}; {OURS} ours"
    )
    with pd.option_context("display.width", 200, "display.max_columns", None):
        print(summarize(results).round(4))


if __name__ == "__main__":
    main()
