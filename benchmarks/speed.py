"""Training speed of sknet and other packages on eight problems.

    python benchmarks/speed.py --mnist mnist.npz
    python benchmarks/speed.py --problems iris --out iris.csv
    python benchmarks/speed.py --mnist mnist.npz --out new.csv \
        --checkout old=PATH --checkout new=PATH    # two versions of sknet

Every competitor does the same work (``trainers.py``) on the named problems
(``problems.py``), with one BLAS thread unless OMP_NUM_THREADS is set. In each round,
all competitors run once, in a new order, so that a busy machine slows down all of them.
A ratio is the median over the rounds of the ratio of two times of the same round. Each
round adds one row per competitor, with wall and CPU time and the log-loss reached on
the first training rows.
"""

import functools
import time
import warnings
import zlib
from pathlib import Path

import runs  # before NumPy: it sets the number of BLAS threads

# isort: split
import numpy as np
import pandas as pd
from problems import mnist_source, problems
from trainers import PACKAGES, TRAINERS

LOSS_ROWS = 20_000  # at most, of the training rows
LEAST_SECONDS = 0.3  # of a turn: a short fit is repeated, and its least time counts


@functools.lru_cache(maxsize=1)
def make_problem(name, mnist):
    return problems(mnist)[name]()


def smaller(problem):
    """Return four batches of the problem, for a tenth of its epochs."""
    rows = slice(4 * problem.batch)
    epochs = max(1, problem.epochs // 10)
    return problem._replace(X=problem.X[rows], y=problem.y[rows], epochs=epochs)


def log_loss(predict_proba, problem):
    """Mean log-loss on the first training rows."""
    y = np.unique(problem.y, return_inverse=True)[1][:LOSS_ROWS]
    p = predict_proba(problem.X[:LOSS_ROWS])[np.arange(len(y)), y]
    return -np.log(np.maximum(p, 1e-15)).mean()


def fit(trainer, name, mnist=None, warm_up=False):
    """Fit on a named problem; return the least wall and CPU time, and the log-loss."""
    problem = make_problem(name, mnist)
    if warm_up:
        problem = smaller(problem)
    walls, cpus = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nobody converges here
        while sum(walls) < LEAST_SECONDS:
            wall, cpu = time.perf_counter(), time.process_time()
            predict_proba = TRAINERS[trainer](problem)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus), log_loss(predict_proba, problem)


def measure(name, competitors, mnist=None, repeats=7):
    """Fit all competitors once to warm up, then in turns; yield a row a turn.

    Parameters
    ----------
    name : str
        Of the problem.
    competitors : dict
        A name to a trainer's name and a worker, None for this process.
    mnist : str or None
        Path of an .npz file.
    repeats : int
        Number of turns.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    for repeat in range(-1, repeats):
        for competitor in rng.permutation(list(competitors)).tolist():
            trainer, worker = competitors[competitor]
            job = trainer, name, mnist, repeat < 0
            times = worker.submit(fit, *job).result() if worker else fit(*job)
            if repeat >= 0:
                seconds, cpu_seconds, loss = times
                yield {
                    "problem": name,
                    "competitor": competitor,
                    "repeat": repeat,
                    "threads": runs.THREADS,
                    "seconds": seconds,
                    "loss": loss,
                    "cpu_seconds": cpu_seconds,
                }


def ratios(results, reference="ours", seconds="seconds"):
    """Each competitor's time over the reference's in the same turn, a row a turn."""
    wide = results.pivot_table(
        index=["problem", "repeat"], columns="competitor", values=seconds, sort=False
    )
    return wide.div(wide[reference], axis=0)


def summarize(results, reference, seconds="seconds"):
    """Median times over the reference's: a row a problem, and the geometric means."""
    turns = ratios(results, reference, seconds)
    table = turns.groupby("problem", sort=False).median()
    table.loc["geometric mean"] = np.exp(np.log(table).mean())
    return table


def report(results, own):
    """Print median seconds and losses, and times over those of each own version."""
    figures = ["seconds", "cpu_seconds", "loss"]
    medians = results.groupby(["problem", "competitor"], sort=False)[figures].median()
    print(medians.round(4).to_string())
    for seconds in figures[:2]:
        for name in own:
            table = summarize(results, name, seconds)
            print(f"\n{seconds} relative to {name}\n{table.round(3).to_string()}")
        if len(own) > 1:
            table = 1 / summarize(results, own[0], seconds)[own[1:]]
            print(f"\nspeed relative to {own[0]}, by {seconds}")
            print(table.round(3).to_string())


def main():
    """Run the benchmark from the command line."""
    parser = runs.arguments(__doc__)
    parser.add_argument("--mnist", help="an .npz file (default: noise of its shape)")
    parser.add_argument("--problems", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--competitors", nargs="*", choices=TRAINERS, metavar="NAME")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=runs.RESULTS / "speed.csv")
    options = parser.parse_args()
    names = options.competitors
    if names is None:
        names = ["MLPClassifier"] if options.checkout else list(TRAINERS)
    names = runs.installed({name: PACKAGES.get(name, "sklearn") for name in names})
    workers = {name: ("ours", runs.worker(path)) for name, path in options.checkout}
    here = {n: (n, None) for n in names if not (workers and n == "ours")}
    rows = []
    for name in options.problems or problems(options.mnist):
        rows += measure(name, workers | here, options.mnist, options.repeats)
    results = pd.DataFrame(rows)
    packages = [PACKAGES[name] for name in here if name in PACKAGES]
    line = f"{runs.environment(*packages)}, {mnist_source(options.mnist)}"
    with options.out.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {line}\n")
        results.to_csv(file, index=False, float_format="%.6g")
    print(line)
    report(results, list(workers) or ["ours"])


if __name__ == "__main__":
    main()
