"""Test error on MNIST with one hidden layer, without augmentation.

    python benchmarks/mnist.py --data mnist.npz    # X_train, y_train, X_test, y_test
    python benchmarks/mnist.py                     # from OpenML, needs the network

The record of the literature for this network is 1.6 % (800 hidden units, cross-entropy;
Simard, Steinkraus and Platt 2003). The settings were chosen on 10,000 of the training
rows. All 60,000 are trained on here, for a fixed number of epochs; the test rows are
looked at once, at the end.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy loads its BLAS

import numpy as np

from sknet import TwoLayerClassifier

SETTINGS = {
    "hidden_layer_size": 800,
    "n_estimators": 2,
    "dropout": 0.5,
    "input_dropout": 0.2,
    "max_iter": 80,
    "learning_rate_init": 0.002,
    "alpha": 0.1,
    "scaling_layer": False,
    "early_stopping": False,
    "standardize": False,  # pixels share a unit, and many are almost never lit
    "random_state": 0,
}


def load(path):
    """Training and test rows, pixels from 0 to 1, in OpenML's order or the file's."""
    if path:
        with np.load(path) as data:
            arrays = [data[n] for n in ("X_train", "y_train", "X_test", "y_test")]
    else:
        from sklearn.datasets import fetch_openml

        X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
        arrays = X[:60_000], y[:60_000], X[60_000:], y[60_000:]
    X_train, y_train, X_test, y_test = arrays
    return X_train / np.float32(255), y_train, X_test / np.float32(255), y_test


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="an .npz file")
    parser.add_argument("--max-iter", type=int, default=SETTINGS["max_iter"])
    options = parser.parse_args()
    X_train, y_train, X_test, y_test = load(options.data)
    settings = SETTINGS | {"max_iter": options.max_iter}
    start = time.perf_counter()
    clf = TwoLayerClassifier(**settings).fit(X_train, y_train)
    seconds = time.perf_counter() - start
    error = 100 * (1 - clf.score(X_test, y_test))
    print(f"settings: {settings}")
    print(f"BLAS threads {os.environ['OMP_NUM_THREADS']}, fit in {seconds:.0f} s")
    print(f"test error {error:.2f} %, last training loss {clf.loss_curve_[-1]:.4f}")


if __name__ == "__main__":
    main()
