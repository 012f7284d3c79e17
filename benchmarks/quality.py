"""Quality of probabilities on real tables, for sknet and others at their defaults.

    python benchmarks/quality.py --data FOLDER     # Parquet files, label in __target__
    python benchmarks/quality.py                   # the summary of the stored results
    python benchmarks/quality.py --data FOLDER --out new.csv \
        --checkout old=PATH --checkout new=PATH    # two versions of sknet

Every fit uses one BLAS thread unless OMP_NUM_THREADS is set. The competitors alternate
on each fold, so that a busy machine slows down all of them. Each fit adds a row to the
CSV file when it ends. Fits whose rows are already in the file are not run again.
"""

import ast
import itertools
import sys
import time
import warnings
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

import runs  # before NumPy: it sets the number of BLAS threads

# isort: split
import numpy as np
import pandas as pd
import scipy.sparse as sp
from competitors import COMPETITORS, OURS, SLOW
from sklearn.metrics import log_loss, roc_auc_score
from tables import folds, read_folder

CLIP = 1e-7  # a probability of zero would decide the mean alone
N_BINS = 15
KEY = ["table", "fold", "competitor"]
FIGURES = ["log_loss", "accuracy", "calibration_error", "roc_auc"]
SIZES = [0, 250, 600, np.inf]  # training rows


class Entrant(NamedTuple):
    """A competitor as it is run: from a checkout, with settings, on raw frames."""

    name: str
    competitor: str
    worker: Executor | None = None  # a process that has its own version of sknet
    settings: dict | None = None
    raw: bool = False

    def run(self, fold):
        """Fit and score on a fold; return a row."""
        job = self.name, self.competitor, self.settings or {}, fold
        return (
            self.worker.submit(measure, *job).result() if self.worker else measure(*job)
        )


def parse_settings(text):
    """Parse the keyword arguments of a call, such as "blend=False, n_jobs=2"."""
    keywords = ast.parse(f"f({text})", mode="eval").body.keywords
    return {k.arg: ast.literal_eval(k.value) for k in keywords}


def entrants(names, checkouts=(), settings=(), raw=False):
    """List what is run.

    Parameters
    ----------
    names : list of str
        Keys of ``COMPETITORS``.
    checkouts : list of (name, path)
        Versions of sknet, in place of the installed one.
    settings : list of str
        Each makes another entrant of each version of sknet.
    raw : bool
        Whether those that take raw frames are given them.
    """
    own = [Entrant(name, OURS, runs.worker(path)) for name, path in checkouts]
    if not own and OURS in names:
        own = [Entrant(OURS, OURS)]
    found = own + [
        entrant._replace(name=f"{entrant.name}({text})", settings=parse_settings(text))
        for text in settings
        for entrant in own
    ]
    found += [Entrant(name, name) for name in names if name != OURS]
    for i, entrant in enumerate(found):
        if raw and COMPETITORS[entrant.competitor].raw:
            found[i] = entrant._replace(name=f"{entrant.name}, raw", raw=True)
    return found


def calibration_error(proba, hit):
    """Expected calibration error of the most probable class, in equal-width bins."""
    confidence = proba.max(axis=1)
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, hit - confidence, minlength=N_BINS)
    return np.abs(gaps).sum() / len(hit)


def scores(y, proba):
    """Score probabilities of label codes, clipped so that none is zero."""
    proba = np.clip(proba.astype(np.float64), CLIP, None)
    proba /= proba.sum(axis=1, keepdims=True)
    classes, hit = np.arange(proba.shape[1]), proba.argmax(axis=1) == y
    score = proba[:, 1] if len(classes) == 2 else proba
    return {
        "log_loss": log_loss(y, proba, labels=classes),
        "accuracy": hit.mean(),
        "calibration_error": calibration_error(proba, hit),
        "roc_auc": roc_auc_score(y, score, multi_class="ovr", labels=classes),
    }


def measure(name, competitor, settings, fold):
    """Fit one competitor on one fold; return a row."""
    competitor = COMPETITORS[competitor]
    X_train, X_test = fold.X_train, fold.X_test
    if sp.issparse(X_train) and not competitor.sparse:
        X_train, X_test = X_train.toarray(), X_test.toarray()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = competitor.make(fold, **settings)
        start, cpu = time.perf_counter(), time.process_time()
        model.fit(X_train, fold.y_train)
        fitted, cpu = time.perf_counter(), time.process_time() - cpu
        proba = model.predict_proba(X_test)
        done = time.perf_counter()
    dtype = getattr(X_train, "dtype", "of a frame")
    return {
        "table": fold.table,
        "fold": fold.number,
        "competitor": name,
        **scores(fold.y_test, proba),
        "fit_seconds": fitted - start,
        "predict_seconds": done - fitted,
        "cpu_seconds": cpu,
        "n_train": len(fold.y_train),
        "environment": f"{runs.environment(competitor.package)}, X {dtype}",
    }


def run(tables, listed, path, n_folds=3):
    """Run all that is not in the file yet, and append it; return how many failed.

    Parameters
    ----------
    tables : iterable of (name, frame)
    listed : list of Entrant
    path : Path
    n_folds : int
        The first of the three folds of each table.
    """
    done, failed, turn = set(), 0, 0
    if path.exists():
        done = set(runs.read(path)[KEY].itertuples(index=False, name=None))
    for table, frame in tables:
        both = zip(folds(table, frame), folds(table, frame, raw=True), strict=True)
        for encoded, raw in itertools.islice(both, n_folds):
            turn = (turn + 1) % len(listed)
            for entrant in listed[turn:] + listed[:turn]:
                if (table, encoded.number, entrant.name) in done:
                    continue
                try:
                    row = entrant.run(raw if entrant.raw else encoded)
                except Exception as error:
                    failed += 1
                    reason = str(error).strip().partition("\n")[0][:200]
                    result = f"{type(error).__name__}: {reason}"
                else:
                    runs.append(path, row)
                    result = f"{row['log_loss']:.4f}, {row['fit_seconds']:.1f} s"
                place = f"{table}, fold {encoded.number}, {entrant.name}"
                print(f"{place}: {result}", flush=True)
    return failed


def by_table(rows, figure, *names):
    """Means over the folds that all the named competitors have, a row a table."""
    wide = rows.pivot_table(index=KEY[:2], columns="competitor", values=figure)
    return wide.reindex(columns=dict.fromkeys(names)).dropna().groupby("table").mean()


def over(rows, figure, name, reference):
    """A competitor's figure over the reference's, for the tables that both have."""
    both = by_table(rows, figure, name, reference)
    return both[name] / both[reference]


def geometric_mean(ratios):
    return np.exp(np.log(ratios).mean())


def summarize(rows, reference):
    """Means and ranks over the tables that all have, and ratios to the reference.

    The ratios are over the ``tables`` that a competitor shares with the reference:
    ``better`` is the share of them with a lower log-loss, ``ratio`` and ``worst`` are
    the geometric mean and the highest ratio of log-losses, ``cpu`` is the geometric
    mean of the ratios of CPU times, ``fit`` the ratio of the sums of fit times.
    """
    names = rows["competitor"].unique()
    figures = {figure: by_table(rows, figure, *names) for figure in FIGURES}
    summary = pd.DataFrame({figure: table.mean() for figure, table in figures.items()})
    summary["rank"] = figures["log_loss"].rank(axis=1).mean()
    summary["by accuracy"] = figures["accuracy"].rank(axis=1, ascending=False).mean()
    for name in names:
        ratios = over(rows, "log_loss", name, reference)
        seconds = by_table(rows, "fit_seconds", name, reference).sum()
        summary.loc[name, ["tables", "better", "ratio", "worst", "cpu", "fit"]] = [
            len(ratios),
            (ratios < 1).mean(),
            geometric_mean(ratios),
            ratios.max(),
            geometric_mean(over(rows, "cpu_seconds", name, reference)),
            seconds[name] / seconds[reference],
        ]
    summary["fit_seconds"] = rows.groupby("competitor")["fit_seconds"].sum()
    return summary.sort_values("log_loss").astype({"tables": int})


def by_size(rows, reference):
    """Geometric mean and maximum of the ratios of log-losses, by training rows."""
    names = [name for name in rows["competitor"].unique() if name != reference]
    ratios = pd.DataFrame({n: over(rows, "log_loss", n, reference) for n in names})
    sizes = pd.cut(rows.groupby("table")["n_train"].mean(), SIZES)
    groups = ratios.groupby(sizes.reindex(ratios.index), observed=True)
    return groups.agg([geometric_mean, "max"])


def report(rows, reference):
    """Print log-losses and accuracies of all tables, and the summaries."""
    names = rows["competitor"].unique()
    for figure in FIGURES[:2]:
        table = rows.pivot_table(index="table", columns="competitor", values=figure)
        print(f"\n{figure}\n{table[names].round(4).to_string()}")
    if "n_train" in rows and len(names) > 1:
        print(f"\nlog-loss relative to {reference}, by number of training rows")
        print(by_size(rows, reference).round(3).to_string())
    n_tables = len(by_table(rows, "log_loss", *names))
    print(f"\nmeans over the {n_tables} common tables, ratios to {reference}")
    print(summarize(rows, reference).round(4).to_string())


def main():
    """Run the benchmark from the command line."""
    parser = runs.arguments(__doc__)
    parser.add_argument("--data", help="a folder of Parquet files")
    parser.add_argument("--tables", nargs="*", help="names of tables (default: all)")
    parser.add_argument("--folds", type=int, default=3, help="1, 2 or 3")
    parser.add_argument("--competitors", nargs="*", choices=COMPETITORS, metavar="NAME")
    parser.add_argument("--settings", nargs="*", default=[], metavar="NAME=VALUE,...")
    parser.add_argument("--raw", action="store_true", help="pass raw data frames")
    parser.add_argument("--reference", help="for the ratios (default: the first)")
    parser.add_argument("--out", type=Path, default=runs.RESULTS / "quality.csv")
    options = parser.parse_args()
    shown, failed = options.competitors, 0
    if options.data:
        names = shown
        if names is None:
            names = [] if options.checkout else COMPETITORS.keys() - SLOW
        packages = {n: c.package for n, c in COMPETITORS.items() if n in names}
        if options.checkout:  # in place of the installed sknet
            packages.pop(OURS, None)
        names = runs.installed(packages)
        listed = entrants(names, options.checkout, options.settings, options.raw)
        tables = read_folder(options.data, options.tables)
        failed = run(tables, listed, options.out, options.folds)
        shown = [entrant.name for entrant in listed]
    rows = runs.read(options.out)
    rows = rows[rows["table"].isin(options.tables or rows["table"])]
    rows = rows.set_index("competitor")
    shown = [name for name in shown or rows.index.unique() if name in rows.index]
    report(rows.loc[shown].reset_index(), options.reference or shown[0])
    sys.exit(f"{failed} fits failed" if failed else 0)


if __name__ == "__main__":
    main()
