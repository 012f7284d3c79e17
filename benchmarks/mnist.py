"""Test error on MNIST with one hidden layer, without augmentation.

    python benchmarks/mnist.py --data mnist.npz    # X_train, y_train, X_test, y_test

The record of the literature for this network is 1.6 % (800 hidden units, cross-entropy;
Simard, Steinkraus and Platt 2003). The settings were chosen on 10,000 of the training
rows. All 60,000 are used here, for a fixed number of epochs. The test rows are used
once, at the end.
"""

import argparse
import time

import runs  # before NumPy: it sets the number of BLAS threads

# isort: split
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
    "early_stopping": False,
    "standardize": False,  # pixels share a unit, and many are almost never lit
    "random_state": 0,
}


def load(path):
    """Return training and test rows, with pixels from 0 to 1."""
    with np.load(path) as data:
        X_train, X_test = (data[n] / np.float32(255) for n in ("X_train", "X_test"))
        return X_train, data["y_train"], X_test, data["y_test"]


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="an .npz file")
    parser.add_argument("--max-iter", type=int, default=SETTINGS["max_iter"])
    options = parser.parse_args()
    X_train, y_train, X_test, y_test = load(options.data)
    settings = SETTINGS | {"max_iter": options.max_iter}
    start = time.perf_counter()
    clf = TwoLayerClassifier(**settings).fit(X_train, y_train)
    seconds = time.perf_counter() - start
    error = 100 * (1 - clf.score(X_test, y_test))
    print(f"settings: {settings}")
    print(f"{runs.environment('sknet')}, fit in {seconds:.0f} s")
    print(f"test error {error:.2f} %, last training loss {clf.loss_curve_[-1]:.4f}")


if __name__ == "__main__":
    main()
