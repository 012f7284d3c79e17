"""Saved models: what must be trusted to load them, their version and their size."""

import copy
import io
import pickle
import re
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
import skops.io
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sknet
from sknet import SknetVersionWarning, TwoLayerClassifier

TRUSTED = "sknet.TwoLayerClassifier"
OLD_MODELS = sorted(Path(__file__).with_name("data").glob("*/default.*"))
X, Y = load_iris(return_X_y=True)


# --- ways to save and load


def dump_joblib(clf):
    file = io.BytesIO()
    joblib.dump(clf, file)
    return file.getvalue()


def load_joblib(saved):
    return joblib.load(io.BytesIO(saved))


def load_skops(saved):
    return skops.io.loads(saved, trusted=[TRUSTED])


WAYS = {
    "pickle": (pickle.dumps, pickle.loads),
    "joblib": (dump_joblib, load_joblib),
    "skops": (skops.io.dumps, load_skops),
    "copy": (lambda clf: clf, copy.deepcopy),
}
saves = pytest.mark.parametrize(
    ("dump", "load"), list(WAYS.values())[:3], ids=list(WAYS)[:3]
)
duplicates = pytest.mark.parametrize(("dump", "load"), WAYS.values(), ids=WAYS)

# settings, labels and last call that leave different things behind
MODELS = {
    "default": lambda net: net(early_stopping=True).fit(X, Y),
    "one member": lambda net: net(n_estimators=1).fit(X, Y),
    "strings": lambda net: net().fit(X, np.array(["a", "b", "c"])[Y]),
    "lbfgs": lambda net: net(solver="lbfgs").fit(X, Y),
    "sgd, to continue": lambda net: net(solver="sgd", warm_start=True).fit(X, Y),
    "validation set": lambda net: net().fit(X, Y, X_val=X, y_val=Y),
    "class weights": lambda net: net(class_weight={0: 1, 1: 2, 2: 3}).fit(X, Y),
    "out of fold": lambda net: net(early_stopping=True, store_oof_proba=True).fit(X, Y),
    "RandomState": lambda net: net(random_state=np.random.RandomState(0)).fit(X, Y),
    "not scaled": lambda net: net(standardize=False).fit(X, Y),
    "stream": lambda net: net().partial_fit(X, Y, classes=[0, 1, 2]),
}
models = pytest.mark.parametrize("fit", MODELS.values(), ids=MODELS)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@models
@duplicates
def test_a_loaded_model_is_the_one_that_was_saved(small_net, fit, dump, load):
    clf = fit(small_net)
    loaded = load(dump(clf))
    assert vars(loaded).keys() == vars(clf).keys()
    assert_array_equal(loaded.predict(X), clf.predict(X), strict=True)
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X), strict=True)


@duplicates
@pytest.mark.parametrize("name", ["default", "stream", "sgd, to continue"])
def test_a_loaded_model_continues_as_the_saved_one(
    small_net, params_of, name, dump, load
):
    clf = MODELS[name](lambda **more: small_net(random_state=None, **more))
    loaded, fitted = load(dump(clf)), clf.predict_proba(X)
    loaded.partial_fit(X[:50], Y[:50])
    assert_array_equal(clf.predict_proba(X), fitted)  # the original has not moved
    clf.partial_fit(X[:50], Y[:50])
    assert (clf.predict_proba(X) != fitted).any()
    assert_array_equal(params_of(loaded), params_of(clf), strict=True)
    assert loaded.loss_curve_ == clf.loss_curve_


def test_a_model_can_be_loaded_into_a_read_only_memory_map(small_net, tmp_path):
    clf = small_net(warm_start=True).fit(X, Y)
    joblib.dump(clf, tmp_path / "clf.joblib")
    loaded = joblib.load(tmp_path / "clf.joblib", mmap_mode="r")
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X), strict=True)
    for model in (clf, loaded):
        model.partial_fit(X[:50], Y[:50])
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X), strict=True)


# --- what must be trusted


@models
def test_one_type_must_be_trusted(small_net, fit):
    saved = skops.io.dumps(make_pipeline(StandardScaler(), fit(small_net)))
    assert skops.io.get_untrusted_types(data=saved) == [TRUSTED]


def test_the_name_of_the_class_is_public(small_net):
    assert f"{TwoLayerClassifier.__module__}.{TwoLayerClassifier.__name__}" == TRUSTED
    loaded = pickle.loads(b"csknet._classifier\nTwoLayerClassifier\n.")
    assert loaded is TwoLayerClassifier  # as older pickles name it


# --- versions


@pytest.mark.parametrize("path", OLD_MODELS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_model_of_an_earlier_version_is_refused_in_one_sentence(path):
    """Its weights would mean something else. Only files of this folder are loaded."""
    load = pickle.loads if path.suffix == ".pickle" else load_skops
    with pytest.raises(ValueError, match=r"saved by .*sknet.* fit it again") as caught:
        load(path.read_bytes())
    message = str(caught.value)
    assert "TwoLayerClassifier" in message
    assert f"sknet {sknet.__version__}" in message
    assert "\n" not in message


def test_models_of_three_earlier_forms_are_stored():
    assert len({path.parent for path in OLD_MODELS}) == 3
    assert {path.suffix for path in OLD_MODELS} == {".pickle", ".skops"}


def with_another_version(saved):
    """The same bytes, as if another version of the same layout had saved them."""
    now = sknet.__version__.encode()
    other = re.sub(rb"^\d", b"9", now)
    if not zipfile.is_zipfile(io.BytesIO(saved)):
        return saved.replace(now, other)
    changed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved)) as old,
        zipfile.ZipFile(changed, "w") as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(now, other))
    return changed.getvalue()


@saves
def test_another_version_of_the_same_layout_warns_once_and_loads(small_net, dump, load):
    clf = small_net().fit(X, Y)
    saved = with_another_version(dump(clf))
    with pytest.warns(SknetVersionWarning) as caught:
        loaded = load(saved)
    (message,) = (str(warning.message) for warning in caught)
    assert "TwoLayerClassifier" in message
    assert "saved by sknet 9" in message
    assert f"loaded by sknet {sknet.__version__}" in message
    assert vars(loaded).keys() == vars(clf).keys()
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X), strict=True)


def test_a_model_without_a_version_is_refused_or_warned_about(small_net):
    unfitted = object.__new__(TwoLayerClassifier)
    with pytest.warns(SknetVersionWarning, match="by an unknown version of sknet"):
        unfitted.__setstate__(vars(small_net()))
    assert unfitted.get_params() == small_net().get_params()
    with pytest.raises(ValueError, match="by an unknown version of sknet"):
        object.__new__(TwoLayerClassifier).__setstate__(vars(small_net().fit(X, Y)))


# --- sizes

SMALL = 4096  # bytes of settings, curves and two generators


def weights_in_bytes(clf):
    """Of all variants, where there is a blend."""
    return sum(model.network.params.nbytes for model in clf._blend.models)


@pytest.mark.parametrize(("dtype", "itemsize"), [("float32", 4), ("float64", 8)])
@pytest.mark.parametrize("last_call", ["fit", "warm start", "partial_fit"])
@pytest.mark.parametrize("load", [load_iris, load_digits])
def test_a_saved_fit_is_as_large_as_its_weights(load, last_call, dtype, itemsize):
    rows, y = load(return_X_y=True)
    clf = TwoLayerClassifier(32, max_iter=2, warm_start=last_call == "warm start")
    if last_call == "partial_fit":
        clf.partial_fit(rows.astype(dtype), y, np.unique(y))
    else:
        clf.fit(rows.astype(dtype), y)
    # What can continue also holds, in the precision of training: the last weights, the
    # factors of the scaling layer with what they multiply, and two moments.
    times = 1 if last_call == "fit" else 1 + 4 * 4 / itemsize
    assert len(pickle.dumps(clf)) <= 1.1 * weights_in_bytes(clf) * times + SMALL
    assert len(pickle.dumps(clone(clf))) < SMALL


def test_the_size_of_a_stream_stays_the_same(small_net):
    clf, sizes = small_net(), []
    for n_passes in range(1, 301):
        clf.partial_fit(X[:10], Y[:10], classes=[0, 1, 2])
        if n_passes in (100, 200, 300):  # from the 100th on the loss curve is full
            sizes.append(len(pickle.dumps(clf)))
    assert max(sizes) - min(sizes) < 100  # only the counts' digits grow
