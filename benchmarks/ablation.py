"""What each default is worth: the defaults with one thing changed, on real tables.

    python benchmarks/ablation.py --data FOLDER

Beside the means over all tables it prints what a choice among these candidates would
have given on tables it did not see: for each table the candidate is chosen that has the
lowest mean log-loss on all *other* tables.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy loads its BLAS

import pandas as pd
from joblib import Parallel, delayed
from quality import RESULTS, environment, measure
from scipy.stats import wilcoxon
from tables import folds, read_folder

from sknet import TwoLayerClassifier

DEFAULTS = "defaults"
EQUAL = 1e-9  # difference of log-losses: the same fits
CHANGES = {
    DEFAULTS: {},
    "one member, a tenth held out": {"n_estimators": 1, "early_stopping": True},
    "no early stopping, no temperature": {"early_stopping": False},
    "16 members of 32": {"n_estimators": 16, "hidden_layer_size": 32},
    "8 members of 64": {"n_estimators": 8, "hidden_layer_size": 64},
    "inputs not split": {"split_inputs": False},
    "no scaling layer": {"scaling_layer": False},
    "dropout 0": {"dropout": 0.0},
    "dropout 0.2": {"dropout": 0.2},
    "dropout 0.35": {"dropout": 0.35},
    "dropout 0.5": {"dropout": 0.5},
    "squash 3": {"squash": 3.0},
    "no squash": {"squash": None},
    "alpha 0": {"alpha": 0.0},
    "alpha 0.1": {"alpha": 0.1},
    "batches of 16": {"batch_size": 16},
    "batches of 128": {"batch_size": 128},
    "40 epochs": {"max_iter": 40},
    "160 epochs": {"max_iter": 160},
    "rate 0.005": {"learning_rate_init": 0.005},
    "rate 0.02": {"learning_rate_init": 0.02},
    "patience 20": {"n_iter_no_change": 20},
    "tanh": {"activation": "tanh"},
}


class Maker:
    """A seed to the classifier with these settings, in a form that pickles."""

    def __init__(self, changes):
        self.changes = changes

    def __call__(self, seed):
        """The classifier."""
        return TwoLayerClassifier(random_state=seed, **self.changes)


def paired(losses):
    """Each candidate's log-loss over the defaults', table by table.

    Parameters
    ----------
    losses : DataFrame
        A row a table, a column a candidate.

    Returns
    -------
    DataFrame
        Median difference, tables on which it is worse, equal and better, and the
        p-value of Wilcoxon's signed-rank test.
    """
    over = losses.sub(losses[DEFAULTS], axis=0)
    return pd.DataFrame(
        {
            "median": over.median(),
            "worse": (over > EQUAL).sum(),
            "equal": (over.abs() <= EQUAL).sum(),
            "better": (over < -EQUAL).sum(),
            "p": {
                name: wilcoxon(column).pvalue if (column.abs() > EQUAL).any() else 1.0
                for name, column in over.items()
            },
        }
    )


def leave_one_table_out(losses):
    """Mean log-loss of the choices, and how often each candidate is chosen.

    Parameters
    ----------
    losses : DataFrame
        A row a table, a column a candidate.
    """
    chosen = [losses.drop(index=table).mean().idxmin() for table in losses.index]
    of_chosen = [losses.loc[t, c] for t, c in zip(losses.index, chosen, strict=True)]
    return sum(of_chosen) / len(of_chosen), pd.Series(chosen).value_counts()


def main():
    """Run the ablation from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a folder of Parquet files")
    parser.add_argument("--skip", nargs="*", default=["letter"], help="tables left out")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "ablation.csv")
    options = parser.parse_args()
    makers = {name: Maker(changes) for name, changes in CHANGES.items()}
    work = [
        (fold, name)
        for table, frame in read_folder(options.data)
        if table not in options.skip
        for fold in folds(table, frame)
        for name in makers
    ]
    rows = Parallel(options.n_jobs)(delayed(measure)(*job, makers) for job in work)
    results = pd.DataFrame(rows)
    results.to_csv(options.out, index=False, float_format="%.6g")

    by_table = results.groupby(["competitor", "table"]).mean(numeric_only=True)
    figures = ["log_loss", "accuracy", "calibration_error", "fit_seconds"]
    summary = by_table[figures].groupby("competitor").mean().loc[list(CHANGES)]
    summary["fit_seconds"] /= summary["fit_seconds"][DEFAULTS]
    losses = by_table["log_loss"].unstack("competitor")
    summary = summary.join(paired(losses))
    print(environment())
    summary = summary.rename(columns={"fit_seconds": "fit_time_ratio"})
    print(summary.round(4).to_string())
    mean, counts = leave_one_table_out(losses)
    print(f"chosen without the table it is judged on: log-loss {mean:.4f}")
    print(counts.to_string())


if __name__ == "__main__":
    main()
