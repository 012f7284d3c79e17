"""The pictures of the last runs, from results/ to docs/images/.

python benchmarks/plots.py

``quality.svg``: ranks with their critical difference, and each table. ``speed.svg``:
times over ours, problem by problem, and how a fit's time grows.
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
SIZES = {"n": "rows", "d": "columns", "h": "units", "k": "classes", "epochs": "epochs"}
SHOWN = {  # of the speed run's competitors, with their colours
    "MLPClassifier": "C0",
    "MLPClassifier, float32": "C9",
    "torch": "C1",
    "skorch": "C4",
    "calls": "0.4",
    "floor": "0.7",
}
NAMES = {"torch": "torch loop", "floor": "products"}  # as the page has them


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


def ratios(results, reference="ours"):
    """Each competitor's time over the reference's in the same turn, a row a turn."""
    wide = results.pivot_table(
        index=["problem", "repeat"], columns="competitor", values="seconds", sort=False
    )
    return wide.div(wide[reference], axis=0)


def draw_ratios(axes, results):
    """Medians and quartiles of the competitors' times over ours."""
    over = ratios(results)
    problems = [p for p in dict.fromkeys(results.problem) if ": members" not in p]
    shown = [name for name in SHOWN if name in over]
    width = 0.8 / len(shown)
    for j, name in enumerate(shown):
        quartiles = over[name].groupby("problem").quantile([0.25, 0.5, 0.75]).unstack()
        quartiles = quartiles.reindex(problems)
        low, middle, high = quartiles.to_numpy().T
        place = np.arange(len(problems)) + (j - (len(shown) - 1) / 2) * width
        spread, color = np.array([middle - low, high - middle]), SHOWN[name]
        # no bars: a log axis has no zero for them to start from
        label = NAMES.get(name, name)
        axes.errorbar(
            place, middle, spread, fmt="o", ms=4, capsize=3, label=label, color=color
        )
    for border in range(1, len(problems)):
        axes.axvline(border - 0.5, color="0.9", linewidth=1, zorder=0)
    axes.set_xlim(-0.5, len(problems) - 0.5)
    axes.axhline(1, color="C3", linewidth=1)
    axes.set_yscale("log")
    ticks = [0.2, 0.5, 1, 2, 5, 10, 20]
    axes.set_yticks(ticks, ticks)
    axes.set_xticks(range(len(problems)), [p.replace(", ", "\n") for p in problems])
    axes.tick_params(axis="x", labelsize=8)
    axes.set_ylabel("time over ours (1: ours)")
    axes.set_title("The same work, one BLAS thread; median and quartiles")
    axes.grid(axis="y", color="0.93", zorder=0)
    axes.legend(fontsize=8, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def draw_growth(axes, results):
    """Time of a fit against the size of one thing, both over the smallest."""
    for name, group in results.groupby("name", sort=False):
        size = group["size"] / group["size"].iloc[0]
        over = group.seconds / group.seconds.iloc[0]
        axes.plot(size, over, "o-", label=SIZES[name], ms=4)
    sizes = np.array([1, 2.0 ** (results.groupby("name").size().max() - 1)])
    axes.plot(sizes, sizes, "--", color="0.6", label="slope 1")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    axes.set_xlabel("size over the smallest")
    axes.set_ylabel("time over that of the smallest")
    axes.set_title("Growth")
    axes.legend(fontsize=8)


def rows(name):
    """What a benchmark wrote to results/, without the line on its environment."""
    return pd.read_csv(HERE / "results" / f"{name}.csv", comment="#")


def quality_picture():
    """Ranks and tables of quality.py's last run."""
    losses = losses_of(rows("quality"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    draw_ranks(left, losses)
    draw_tables(right, losses)
    return figure


def speed_picture():
    """Ratios of speed.py's last run, growth of costs.py's."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12, 4.2), layout="constrained", width_ratios=[2.4, 1]
    )
    draw_ratios(left, rows("speed"))
    draw_growth(right, rows("growth"))
    return figure


def main():
    """Draw the pictures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", default=HERE.parent / "docs" / "images", type=Path, help="a folder"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "sknet"  # the same file for the same figures
    for name, draw in (("quality", quality_picture), ("speed", speed_picture)):
        draw().savefig(options.out / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
