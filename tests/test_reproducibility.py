"""The same model again: from one seed, with other threads, from an older version."""

import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_iris
from threadpoolctl import threadpool_info, threadpool_limits

import sknet
from sknet import SknetVersionWarning, TwoLayerClassifier, _persistence, _threads
from sknet._network import TwoLayerNetwork

DATA = Path(__file__).parent / "data"
SAVED = sorted(DATA.glob("*/*.pickle")) + sorted(DATA.glob("*/*.skops"))
STORED = [path for path in SAVED if (path.parent / "expected.json").exists()]
# models of another layout, and who saved them, as the refusal has it
REFUSED = {
    "0.1.0": "an unknown version of sknet",  # which had no stamps
    "0.2.0.dev0-before-layouts": "sknet 0.2.0.dev0",
}
MAKER = compile((DATA / "make_models.py").read_text("utf-8"), "make_models.py", "exec")
SETTINGS = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "lbfgs": {"solver": "lbfgs", "max_iter": 15},
    "one member": {"n_estimators": 1, "early_stopping": True},
}
each_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def quick(**settings):
    defaults = {"max_iter": 8, "hidden_layer_size": 16, "n_estimators": 3}
    return TwoLayerClassifier(**{**defaults, "random_state": 7, **settings})


# --- one seed, one machine

PRINT_HASH = """
import hashlib, sys
from sklearn.datasets import load_iris
from threadpoolctl import threadpool_limits
from sknet import TwoLayerClassifier
X, y = load_iris(return_X_y=True)
with threadpool_limits(1):
    clf = TwoLayerClassifier({settings}).fit(X, y)
    print(hashlib.sha256(clf.predict_proba(X).tobytes()).hexdigest())
"""


def hash_in_a_new_process(settings, hash_seed):
    text = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    code = PRINT_HASH.replace("{settings}", text)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


def test_one_seed_gives_the_same_bits_in_every_process():
    """Whatever the seed of Python's own hashes: no set or dict may decide."""
    settings = {"max_iter": 8, "hidden_layer_size": 16, "n_estimators": 3}
    settings |= {"random_state": 7, "class_weight": {0: 1, 1: 2, 2: 1}}
    hashes = {hash_in_a_new_process(settings, seed) for seed in ("0", "1")}
    assert len(hashes) == 1


@each_setting
def test_one_seed_gives_the_same_bits_again(settings):
    X, y = load_iris(return_X_y=True)
    a = quick(**settings).fit(X, y)
    np.random.standard_normal()  # the global generator has no part  # noqa: NPY002
    b = quick(**settings).fit(X, y)
    assert_array_equal(a.predict_proba(X), b.predict_proba(X), strict=True)
    assert a.loss_curve_ == b.loss_curve_


def n_blas_threads():
    """Of the BLAS that NumPy multiplies with; SciPy's wheels have one of their own."""
    infos = [i for i in threadpool_info() if i["user_api"] == "blas"]
    return {i["num_threads"] for i in infos if "scipy.libs" not in i["filepath"]}


WORTH_A_THREAD = 1 << 18  # multiplications: OpenBLAS keeps fewer to one thread


@each_setting
def test_two_blas_threads_change_rounding_only(settings, monkeypatch):
    """Every step's largest product is shared, and seen to be allowed two threads."""
    step, seen, least = TwoLayerNetwork.loss_gradient, [], []

    def spy(self, X, *args):
        seen.append(n_blas_threads())
        _, h, _, k = self.shape
        least.append(X.shape[0] * X.shape[1] * h * k)
        return step(self, X, *args)

    monkeypatch.setattr(_threads, "WORTH_SHARING", 0)
    monkeypatch.setattr(TwoLayerNetwork, "loss_gradient", spy)
    X, y = load_digits(return_X_y=True)
    X, y = X[:600], y[:600]
    large = {"hidden_layer_size": 64, "batch_size": 200, "dtype": "float64"}
    proba = []
    for n_threads in (1, 2):
        seen.clear()
        with threadpool_limits(n_threads):
            clf = quick(**large, **settings).fit(X, y)
            proba.append(clf.predict_proba(X))
        assert seen
        assert all(threads == {n_threads} for threads in seen)
    assert min(least) > WORTH_A_THREAD
    assert_allclose(proba[0], proba[1], rtol=0, atol=1e-6)


# --- models of this and of older versions


def problem():
    names = {"__file__": str(DATA / "make_models.py"), "__name__": "make_models"}
    exec(MAKER, names)
    return names["problem"]()


def load(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SknetVersionWarning)
        if path.suffix == ".skops":
            return skops.io.load(path, trusted=["sknet.TwoLayerClassifier"])
        return pickle.loads(path.read_bytes())


@pytest.mark.parametrize("path", STORED, ids=lambda p: f"{p.parent.name}-{p.name}")
def test_a_stored_model_predicts_what_it_did(path):
    """Between machines, products may be summed in another order."""
    expected = json.loads((path.parent / "expected.json").read_text("utf-8"))
    clf, (X, y) = load(path), problem()
    proba = clf.predict_proba(X)
    tolerance = 1e-5 if proba.dtype == np.float32 else 1e-10
    assert_allclose(proba, expected[path.stem], rtol=0, atol=tolerance)
    assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])
    assert clf.get_params().keys() <= TwoLayerClassifier().get_params().keys()
    if path.stem in ("stream", "sgd"):  # they hold what a later fit goes on with
        n_before = clf.n_iter_
        assert clf.partial_fit(X, y).n_iter_ == n_before + 1


@pytest.mark.parametrize(("folder", "who"), REFUSED.items(), ids=REFUSED)
def test_a_model_of_an_earlier_layout_is_refused_in_words(folder, who):
    """By one ValueError, with no warning before it: those are errors here."""
    saved = (DATA / folder / "default.pickle").read_bytes()
    assert b"_sknet_layout" not in saved
    with pytest.raises(ValueError, match="This fitted TwoLayerCl") as caught:
        pickle.loads(saved)
    assert type(caught.value) is ValueError
    assert str(caught.value) == (
        f"This fitted TwoLayerClassifier was saved by {who} in layout None; sknet "
        f"{sknet.__version__} reads layout {_persistence.LAYOUT}. Load it with the "
        "version that saved it, or fit it again."
    )


def test_every_stored_kind_is_there():
    assert {path.parent for path in SAVED} - {path.parent for path in STORED} == {
        DATA / folder for folder in REFUSED
    }
    folders = {path.parent for path in STORED}
    for folder in folders:
        kinds = json.loads((folder / "expected.json").read_text("utf-8")).keys()
        for suffix in (".pickle", ".skops"):
            assert {p.stem for p in folder.glob(f"*{suffix}")} == set(kinds)
    assert folders
    assert sum(path.stat().st_size for path in STORED) < 250_000
