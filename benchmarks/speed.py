"""Training speed, ours beside its peers and beside the bare matrix products.

    python benchmarks/speed.py --mnist mnist.npz
    python benchmarks/speed.py --smoke            # a minute: fewer rows and repeats

Every competitor does the same work (``trainers.py``) on the named problems
(``problems.py``). They take turns, so that a busy machine is slow for all; a ratio is
the median, over the turns, of a competitor's time over ours in the same turn. Writes
one row a fit to results/speed.csv, below a line on the versions and the machine: its
time, and the log-loss that it left on the first training rows.

'ours, two threads' is an A/A test: ours keeps products as small as these to one thread,
so it is the same code as 'ours', and its ratio shows what is noise. 'ours, freed' may
use both threads.
"""

import argparse
import importlib.metadata
import importlib.util
import itertools
import os
import platform
import sys
import time
import warnings
import zlib
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy loads its BLAS

import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn
from floors import calls
from plots import ratios
from problems import mnist_source, problems
from threadpoolctl import threadpool_info, threadpool_limits
from trainers import COMPETITORS, DENSE_ONLY, TWO_THREADS, log_loss, ours

import sknet

THREADS = os.environ["OMP_NUM_THREADS"]
RESULTS = Path(__file__).parent / "results"
MEMBERS = 8
MEMBERS_PROBLEMS = ("digits", "MNIST 20k, 100 units", "noise 20k, 100 units")


def processor():
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def environment(*notes):
    """Versions, threads and machine that the figures depend on, in one line."""
    blas = {
        f"{pool['internal_api']} {pool['version']}"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    others = {
        f"{package} {importlib.metadata.version(package)}"
        for package in ("torch", "skorch")
        if importlib.util.find_spec(package)
    }
    return ", ".join(
        [
            f"sknet {sknet.__version__}, scikit-learn {sklearn.__version__}",
            f"NumPy {np.__version__}, Python {platform.python_version()}",
            *sorted(blas),
            *sorted(others),
            f"threads {THREADS}, {processor()}",
            *notes,
        ]
    )


def save(table, path, *notes):
    """Write the rows below a line that starts with # and tells the environment."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {environment(*notes)}\n")
        table.to_csv(file, index=False, float_format="%.6g")


def timed(train, problem, threads):
    """Wall time of a fit while BLAS, and torch, may use so many threads; the model."""
    if "torch" in COMPETITORS:
        sys.modules["torch"].set_num_threads(threads)
    with threadpool_limits(threads, user_api="blas"):
        start = time.perf_counter()
        model = train(problem)
        return time.perf_counter() - start, model


def smaller(problem, n=2_000):
    """The same problem with fewer rows and epochs."""
    n = min(n, problem.X.shape[0])
    return problem._replace(
        X=problem.X[:n], y=problem.y[:n], epochs=max(1, problem.epochs // 10)
    )


def balanced_orders(name, competitors, repeats):
    """An order for each turn, another one for each problem's name.

    A fit finds the caches as the one before it leaves them. So of many drawn at random
    those are taken where ours follows no other in more than a few turns.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))

    def draw():
        return [rng.permutation(competitors).tolist() for _ in range(repeats)]

    def most_often(orders):
        pairs = itertools.pairwise(itertools.chain(*orders))
        before = Counter(first for first, second in pairs if second == "ours")
        return max(before.values(), default=0)

    return min((draw() for _ in range(100)), key=most_often)


def measure(name, problem, trainers, repeats):
    """One warm-up each, then ``repeats`` turns; yields a row a fit."""
    if sp.issparse(problem.X):
        trainers = {k: v for k, v in trainers.items() if k not in DENSE_ONLY}
    warm_up = smaller(problem, 4 * problem.batch)
    for train in trainers.values():
        train(warm_up)
    for repeat, order in enumerate(balanced_orders(name, list(trainers), repeats)):
        for competitor in order:
            threads = 2 if competitor.endswith(TWO_THREADS) else int(THREADS)
            seconds, model = timed(trainers[competitor], problem, threads)
            yield {
                "problem": name,
                "competitor": competitor,
                "repeat": repeat,
                "threads": threads,
                "seconds": seconds,
                "loss": log_loss(model, problem),
            }


def member_trainers():
    """Several members of 64 units at once, one member, separate fits, and floors."""

    def separate(problem):
        for _ in range(MEMBERS):
            ours(problem)

    return {
        "ours": ours,
        f"{MEMBERS} members": lambda p: ours(p, n_estimators=MEMBERS),
        f"{MEMBERS} separate fits": separate,
        f"calls, {MEMBERS} members": lambda p: calls(p, MEMBERS),
        "calls": calls,
    }


def summary(results):
    """Median seconds and loss; quartiles, over turns, of the time over ours."""
    over = ratios(results).groupby("problem", sort=False)
    quartiles = {
        q: over.quantile(q).stack().rename(f"q{q:g}") for q in (0.25, 0.5, 0.75)
    }
    table = pd.DataFrame(quartiles.values()).T
    medians = results.groupby(["problem", "competitor"])[["seconds", "loss"]].median()
    return medians.join(table.dropna(), how="right")


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", help="an .npz file; noise of its shape without one")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--problems", nargs="*")
    parser.add_argument("--only", nargs="*", default=list(COMPETITORS))
    parser.add_argument("--out", type=Path, default=RESULTS / "speed.csv")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # nobody converges here
    trainers = {name: COMPETITORS[name] for name in options.only}
    repeats = 2 if options.smoke else options.repeats
    rows = []
    for name, make in problems(options.mnist).items():
        if options.problems and name not in options.problems:
            continue
        problem = smaller(make()) if options.smoke else make()
        rows += measure(name, problem, trainers, repeats)
        if name in MEMBERS_PROBLEMS and "MLPClassifier" in trainers:
            of_members = problem._replace(hidden=64)
            rows += measure(f"{name}: members", of_members, member_trainers(), repeats)
    results = pd.DataFrame(rows)
    source = mnist_source(options.mnist)
    save(results, options.out, source)
    print(environment(source))
    print(summary(results).round(3).to_string())


if __name__ == "__main__":
    main()
