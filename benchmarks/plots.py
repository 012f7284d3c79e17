"""The picture of a quality run: ranks with their critical difference, and each table.

python benchmarks/plots.py        # results/quality.csv -> docs/images/quality.svg
"""

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import friedmanchisquare, studentized_range

HERE = Path(__file__).parent
OURS = "TwoLayerClassifier"
LEVEL = 0.05


def losses_of(results):
    """Mean log-loss over folds: a row a table, a column a competitor, best rank first.

    Parameters
    ----------
    results : DataFrame
        As quality.py writes it.
    """
    losses = results.pivot_table(index="table", columns="competitor", values="log_loss")
    return losses[losses.rank(axis=1).mean().sort_values().index]


def critical_difference(n_competitors, n_tables):
    """Difference of mean ranks that Nemenyi's test calls one (Demsar 2006)."""
    q = studentized_range.ppf(1 - LEVEL, n_competitors, np.inf) / np.sqrt(2)
    return q * np.sqrt(n_competitors * (n_competitors + 1) / (6 * n_tables))


def draw_ranks(axes, losses):
    """Mean ranks; who is within the critical difference of the first is shaded."""
    ranks = losses.rank(axis=1)
    mean, n = ranks.mean(), len(ranks)
    gap = critical_difference(len(mean), n)
    place = np.arange(len(mean))[::-1]
    axes.axvspan(mean.iloc[0], mean.iloc[0] + gap, color="0.92")
    axes.hlines(place, 1, mean, color="0.7", linewidth=1)
    colors = ["C3" if name == OURS else "0.3" for name in mean.index]
    axes.scatter(mean, place, c=colors, zorder=3)
    axes.set_yticks(place, mean.index)
    axes.set_xlim(1, len(mean))
    p = friedmanchisquare(*losses.to_numpy().T).pvalue
    axes.set_xlabel(f"mean rank by log-loss, {n} tables (Friedman p = {p:.0e})")
    axes.set_title(f"Ranks; shaded: critical difference {gap:.2f} at {LEVEL:.0%}")


def draw_tables(axes, losses):
    """Each table's log-loss over ours, competitor by competitor."""
    others = [name for name in losses if name != OURS]
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, size=len(losses))
    for place, name in enumerate(others[::-1]):
        over = losses[name] - losses[OURS]
        axes.scatter(over, place + jitter, s=14, alpha=0.6, color="C0", linewidths=0)
        axes.plot([over.median()] * 2, [place - 0.3, place + 0.3], color="C3")
        axes.annotate(
            f"ours better on {(over > 0).mean():.0%}",
            (0.98, place + 0.32),
            xycoords=("axes fraction", "data"),
            ha="right",
            fontsize=8,
        )
    axes.axvline(0, color="0.5", linewidth=1)
    axes.set_xscale("symlog", linthresh=0.02)
    axes.set_xticks([-0.1, -0.02, 0, 0.02, 0.1, 1], [-0.1, -0.02, 0, 0.02, 0.1, 1])
    axes.set_yticks(range(len(others)), others[::-1])
    axes.set_xlabel("log-loss over that of TwoLayerClassifier; line: median")
    axes.set_title("Every table")


def main():
    """Draw the picture from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", default=HERE / "results" / "quality.csv")
    parser.add_argument(
        "--out", default=HERE.parent / "docs" / "images" / "quality.svg", type=Path
    )
    options = parser.parse_args()
    losses = losses_of(pd.read_csv(options.results))
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    draw_ranks(left, losses)
    draw_tables(right, losses)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "sknet"  # the same file for the same figures
    figure.savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
