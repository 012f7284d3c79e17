"""Draw the figure of the last quality run, from results/ to docs/images/.

python benchmarks/plots.py

``quality.svg`` shows mean log-losses, and log-losses on each table relative to sknet.
"""

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from competitors import OURS
from matplotlib.ticker import NullLocator
from runs import RESULTS, read


def losses_of(results):
    """Mean log-loss: a row a table, a column a competitor that has all, best first."""
    losses = results.pivot_table(index="table", columns="competitor", values="log_loss")
    losses = losses.dropna(axis=1)
    return losses[losses.mean().sort_values().index]


def draw_means(axes, losses):
    """Draw the mean log-loss of each competitor."""
    mean = losses.mean()[::-1]
    colors = ["C3" if name == OURS else "0.6" for name in mean.index]
    bars = axes.barh(range(len(mean)), mean, color=colors)
    axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=9)
    axes.set_yticks(range(len(mean)), mean.index)
    axes.set_xlim(0, 1.15 * mean.max())
    axes.set_xlabel("log-loss (lower is better)")
    axes.set_title(f"Mean over {len(losses)} tables")


def draw_tables(axes, losses):
    """Draw each competitor's log-loss over ours, a dot a table."""
    others = [name for name in losses if name != OURS]
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, size=len(losses))
    for place, name in enumerate(others[::-1]):
        over = losses[name] / losses[OURS]
        axes.scatter(over, place + jitter, s=14, alpha=0.6, color="C0", linewidths=0)
        axes.plot([over.median()] * 2, [place - 0.3, place + 0.3], color="C3")
        text, corner = f"sknet better on {(over > 1).mean():.0%}", (0.98, place + 0.32)
        where = ("axes fraction", "data")
        axes.annotate(text, corner, xycoords=where, ha="right", fontsize=8)
    axes.axvline(1, color="0.5", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(others)), others[::-1])
    axes.set_xlabel(f"log-loss relative to {OURS} (line: median)")
    axes.set_title("Each dot is a table. Above 1, sknet is better.")


def quality_picture():
    """Draw means and tables of quality.py's last run."""
    losses = losses_of(read(RESULTS / "quality.csv"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    draw_means(left, losses)
    draw_tables(right, losses)
    return figure


def main():
    """Draw the pictures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    images = Path(__file__).parents[1] / "docs" / "images"
    parser.add_argument("--out", default=images, type=Path, help="a folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "sknet"  # the same file for the same figures
    quality_picture().savefig(options.out / "quality.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
