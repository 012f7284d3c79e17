"""What a core does: matrix products, elementwise functions, Adam's step.

    python benchmarks/primitives.py
    python benchmarks/primitives.py --busy     # and what a busy other core costs

Medians in float32 on one BLAS thread unless said. Writes results/primitives.csv.
"""

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy loads its BLAS

import numpy as np
import pandas as pd
from costs import medians, report, turns
from speed import RESULTS
from threadpoolctl import threadpool_limits

from sknet._optimizers import Adam

# inputs with the column of ones, and hidden units
NETWORKS = {"digits": (65, 100), "digits wide": (65, 512), "MNIST 800": (785, 800)}
FUNCTIONS = {np.exp: 1, np.sqrt: 1, np.divide: 2, np.maximum: 2, np.multiply: 2}
SIZES = {"7.5k": 7_500, "80k": 80_000, "635k": 635_000, "5M": 5_000_000}
# never rests; on the same core all the time where the system lets it choose
BUSY = """import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
while True: pass"""


def _product(n, k, m, repeats, transposed=False):
    """A call that multiplies (n, k) by (k, m) so many times."""
    A, B = np.ones((n, k), np.float32), np.ones((k, m), np.float32)
    out, A = np.empty((n, m), np.float32), A.T.copy().T if transposed else A
    return lambda: [np.matmul(A, B, out=out) for _ in range(repeats)]


def products(rows=200, outputs=10):
    """Multiplications per nanosecond, and as a share of a large square product."""
    sizes = {"square, 2000": (2000, 2000, 2000, 1)}
    for name, (d, h) in NETWORKS.items():
        sizes[f"{name}: X W1"] = rows, d, h, 50
        sizes[f"{name}: X^T dH"] = d, rows, h, 50, True
        sizes[f"{name}: H W2"] = rows, h, outputs, 50
        sizes[f"{name}: H^T dZ"] = h, rows, outputs, 50, True
        sizes[f"{name}: dZ W2^T"] = rows, outputs, h, 50
    seconds = medians({name: _product(*size) for name, size in sizes.items()}, 15)
    work = pd.Series({name: np.prod(size[:4]) for name, size in sizes.items()})
    speed = 1e-9 * work / seconds
    return pd.DataFrame({"per ns": speed, "share": speed / speed.iloc[0]})


def functions(n=20_000):
    """Elements per nanosecond of functions of 20,000 elements."""
    a, out = np.linspace(1, 2, 2 * n, dtype=np.float32).reshape(2, n), np.empty(n, "f4")
    calls = {
        function.__name__: lambda f=function, k=k: f(*a[:k], out=out)
        for function, k in FUNCTIONS.items()
    }
    return (1e-9 * n / medians(calls, 1000)).to_frame("per ns")


def adam():
    """Microseconds of a step of Adam by the number of parameters."""
    table = {}
    for name, n in SIZES.items():
        params, grads = np.random.default_rng(0).normal(size=(2, n)).astype(np.float32)
        step = Adam(params.copy(), beta_1=0.9, beta_2=0.999, epsilon=1e-8).step
        calls = {"ours": lambda s=step, p=params, g=grads: s(p, g, 1e-3)}
        if importlib.util.find_spec("torch"):
            import torch

            torch.set_num_threads(1)
            weight = torch.nn.Parameter(torch.as_tensor(params.copy()))
            weight.grad = torch.as_tensor(grads)
            calls["torch"] = torch.optim.Adam([weight], lr=1e-3, fused=True).step
        medians(calls, 3)  # the moments are made, the caches filled
        table[name] = 1e6 * medians(calls, 30 if n > 1e6 else 200)
    return pd.DataFrame(table).T


def busy():
    """Milliseconds of 200 products while another process has one core, or none."""
    shapes = {f"200 x 785 x {h}": (200, 785, h, 200) for h in (100, 800)}
    calls = {name: _product(*shape) for name, shape in shapes.items()}
    columns = {}
    for state in ("idle", "busy"):
        with contextlib.ExitStack() as stack:
            if state == "busy":
                process = subprocess.Popen([sys.executable, "-c", BUSY])
                stack.callback(process.wait)
                stack.callback(process.kill)  # the last comes first
            for n in (1, 2):
                with threadpool_limits(n, user_api="blas"):
                    seconds = 1e3 * turns(calls, 7)
                columns[f"{state}, threads {n}, median"] = seconds.median()
                columns[f"{state}, threads {n}, largest"] = seconds.max()
    return pd.DataFrame(columns).T


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS / "primitives.csv")
    options = parser.parse_args()
    parts = (products, functions, adam, *([busy] if options.busy else []))
    report({part.__name__: part for part in parts}, options.out)


if __name__ == "__main__":
    main()
