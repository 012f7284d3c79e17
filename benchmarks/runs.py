"""What the benchmarks share: workers for checkouts of sknet, versions, CSV files.

Import it before NumPy: BLAS reads its number of threads when it is loaded.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import functools
import importlib
import importlib.metadata
import importlib.util
import platform
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_info

RESULTS = Path(__file__).parent / "results"
THREADS = int(os.environ["OMP_NUM_THREADS"])


def arguments(documentation):
    """Make a parser with the option that compares versions of sknet in one run."""
    parser = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkout",
        metavar="NAME=PATH",
        type=checkout,
        action="append",
        default=[],
        help="a version of sknet, run in a separate process; may be repeated",
    )
    return parser


def checkout(text):
    """Parse NAME=PATH of a checkout that holds a package sknet."""
    name, _, path = text.partition("=")
    if not (name and (Path(path) / "sknet" / "__init__.py").is_file()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH of a checkout")
    return name, str(Path(path).resolve())


def _use(path):
    """Import sknet from a checkout, and fit once to load what is imported late."""
    sys.path.insert(0, path)
    import sknet

    if not Path(sknet.__file__).is_relative_to(path):
        raise ImportError(f"sknet comes from {sknet.__file__}, not from {path}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sknet.TwoLayerClassifier(max_iter=1).fit([[0.0], [1.0]] * 10, [0, 1] * 10)


def worker(path):
    """Start a process that imports sknet from a checkout, and wait until it has."""
    pool = ProcessPoolExecutor(1, get_context("spawn"), _use, (path,))
    pool.submit(os.getpid).result()
    return pool


def installed(packages):
    """List the names whose package is installed; print a line for each other one."""
    found = {name for name, p in packages.items() if importlib.util.find_spec(p)}
    for name in packages.keys() - found:
        print(f"{name} is skipped because {packages[name]} is not installed.")
    return [name for name in packages if name in found]


def version(package):
    """Return the name and version of an installed package."""
    number = getattr(importlib.import_module(package), "__version__", None)
    return f"{package} {number or importlib.metadata.version(package)}"


@functools.cache
def environment(*packages):
    """Describe versions, BLAS, threads and processor in one line."""
    packages = dict.fromkeys([*packages, "sklearn", "numpy"])
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    blas = {f"{pool['internal_api']} {pool['version']}" for pool in pools}
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    names = [line.partition(": ")[2] for line in lines if "model name" in line]
    processor = f"{len(names)} x {names[0]}" if names else platform.machine()
    parts = [*map(version, packages), f"Python {platform.python_version()}"]
    return ", ".join([*parts, *sorted(blas), f"threads {THREADS}", processor])


def read(path):
    """Read the rows of a CSV file, without a first line on the environment."""
    return pd.read_csv(path, comment="#")


def append(path, row):
    """Append a row, a dict, to a CSV file, which is given the columns that it lacks."""
    old = read(path) if path.exists() else pd.DataFrame()
    new, mode = pd.DataFrame([row]), "a"
    if list(old) != list(new):
        new, mode = pd.concat([old, new])[list(new)], "w"
    new.to_csv(path, mode=mode, header=mode == "w", index=False, float_format="%.6g")
