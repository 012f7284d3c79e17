"""The other four networks in docs/comparison.md: a row of its table is a test here.

Only cells without a link are tried. They are about packages that change: where a test
fails after an update, the cell is to be written anew. The packages are in the extra
``comparison``; where one is absent, its tests are skipped.
"""

import inspect
import os
import re

os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is imported

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
import skops.io
from numpy.testing import assert_allclose
from packaging.version import Version
from skl2onnx import to_onnx
from skl2onnx.common.exceptions import MissingShapeCalculator
from sklearn.datasets import load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

X, Y = load_iris(return_X_y=True)
X, Y = X.astype(np.float32), Y.astype(np.int64)  # what PyTorch takes
WEIGHTS = np.where(Y == 0, 20.0, 0.1)
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}

# they warn of each other's deprecations, which are not ours to mend
pytestmark = pytest.mark.filterwarnings("ignore")


# --- the networks: a few epochs of each


def mlp(**settings):
    return MLPClassifier(8, **({"max_iter": 3, "random_state": 0} | settings))


def skorch_net(**settings):
    skorch = pytest.importorskip("skorch")
    from torch import manual_seed, nn

    manual_seed(0)  # skorch has no seed of its own
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    defaults = {"criterion": nn.CrossEntropyLoss, "max_epochs": 3, "verbose": 0}
    return skorch.NeuralNetClassifier(module, **(defaults | settings))


def keras_model(meta):
    """What scikeras calls to build a model, with what it knows of X and y."""
    import keras

    return keras.Sequential(
        [
            keras.Input((meta["n_features_in_"],)),
            keras.layers.Dense(8, "relu"),
            keras.layers.Dense(meta["n_classes_"], "softmax"),
        ]
    )


def scikeras_net(**settings):
    wrappers = pytest.importorskip("scikeras.wrappers")
    defaults = {
        "loss": "sparse_categorical_crossentropy",
        "optimizer": "adam",
        "epochs": 3,
        "verbose": 0,
        "random_state": 0,
    }
    return wrappers.KerasClassifier(keras_model, **(defaults | settings))


def realmlp(**settings):
    pytabkit = pytest.importorskip("pytabkit")
    defaults = {"n_epochs": 3, "device": "cpu", "n_threads": 1, "random_state": 0}
    return pytabkit.RealMLP_TD_S_Classifier(**(defaults | settings))


OTHERS = pytest.mark.parametrize("net", [mlp, skorch_net, scikeras_net, realmlp])


def arguments(function):
    return set(inspect.signature(function).parameters)


def moved(net, **fit_params):
    """Whether an argument of ``fit`` changes what is learnt."""
    plain, other = net().fit(X, Y), net().fit(X, Y, **fit_params)
    return not np.allclose(plain.predict_proba(X), other.predict_proba(X), atol=1e-3)


# --- one test for each row


@pytest.mark.parametrize("net", [mlp, realmlp])
def test_callbacks(net):
    clf = net()
    assert not hasattr(clf, "set_callbacks")
    assert not [name for name in clf.get_params() if "callback" in name]
    assert not [name for name in arguments(clf.fit) if "callback" in name]


@pytest.mark.parametrize(
    ("net", "setting", "says"),
    [
        (mlp, {"verbose": True}, "Iteration 2"),
        (skorch_net, {"verbose": 1}, "train_loss"),
        (scikeras_net, {"verbose": 1}, "Epoch 2/3"),
        (realmlp, {"verbosity": 2}, "Epoch 2/3"),
    ],
)
def test_progress(net, setting, says, capsys):
    net().fit(X, Y)
    assert says not in capsys.readouterr().out
    net(**setting).fit(X, Y)
    assert says in capsys.readouterr().out


def test_progress_bar_of_skorch(capsys):
    net = skorch_net()
    from skorch.callbacks import ProgressBar

    net.set_params(callbacks=[ProgressBar()]).fit(X, Y)
    assert "0/2" in capsys.readouterr().err  # batches of an epoch


def test_curves():
    assert len(mlp().fit(X, Y).loss_curve_) == 3
    assert mlp().fit(X, Y).validation_scores_ is None
    assert len(mlp(early_stopping=True).fit(X, Y).validation_scores_) == 3


def test_curves_of_scikeras():
    assert len(scikeras_net().fit(X, Y).history_["loss"]) == 3


def test_curves_of_realmlp():
    clf = realmlp().fit(X, Y)
    fitted = [name for name in vars(clf) if name.endswith("_")]
    assert "classes_" in fitted
    assert not [name for name in fitted if re.search("curve|history|loss", name)]


@pytest.mark.parametrize("net", [mlp, realmlp])
def test_class_weights(net):
    clf = net()
    assert "class_weight" not in arguments(clf.fit) | set(clf.get_params())


def test_class_weights_of_skorch():
    torch = pytest.importorskip("torch")
    weight = torch.tensor([20.0, 0.1, 0.1])
    weighted = skorch_net(criterion__weight=weight, max_epochs=20).fit(X, Y)
    plain = skorch_net(max_epochs=20).fit(X, Y)
    assert (weighted.predict(X) == 0).sum() > (plain.predict(X) == 0).sum()


def test_class_weights_of_scikeras():
    weighted = scikeras_net(class_weight={0: 20.0, 1: 0.1, 2: 0.1}, epochs=20)
    plain = scikeras_net(epochs=20).fit(X, Y)
    of_first = weighted.fit(X, Y).predict_proba(X)[:, 0].mean()
    assert of_first > plain.predict_proba(X)[:, 0].mean()


@pytest.mark.parametrize("net", [mlp, scikeras_net])
def test_row_weights(net):
    assert moved(net, sample_weight=WEIGHTS)


def test_row_weights_of_realmlp():
    with pytest.raises(TypeError, match="sample_weight"):
        realmlp().fit(X, Y, sample_weight=WEIGHTS)


def test_row_weights_of_skorch():
    with pytest.raises(TypeError, match="sample_weight"):
        skorch_net().fit(X, Y, sample_weight=WEIGHTS)
    from skorch import NeuralNetClassifier
    from torch import nn

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, X, sample_weight=None):
            return self.layer(X)

    seen = []

    class Net(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, X, *args, **kwargs):
            losses = super().get_loss(y_pred, y_true, X, *args, **kwargs)
            seen.append(X["sample_weight"])
            return (X["sample_weight"] * losses).mean()

    net = Net(
        Module,
        criterion=nn.CrossEntropyLoss,
        criterion__reduction="none",
        max_epochs=1,
        train_split=None,
        verbose=0,
    )
    net.fit({"X": X, "sample_weight": WEIGHTS.astype(np.float32)}, Y)
    assert_allclose(sum(float(batch.sum()) for batch in seen), WEIGHTS.sum(), rtol=1e-5)


def test_validation_set():
    assert arguments(MLPClassifier().fit) == {"X", "y", "sample_weight"}


def test_validation_set_of_skorch():
    net = skorch_net()
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    held = Dataset(X[::3], Y[::3])
    net.set_params(train_split=predefined_split(held)).fit(X, Y)
    right = (net.predict(X[::3]) == Y[::3]).mean()
    assert net.history[-1, "valid_acc"] == pytest.approx(right)


def test_validation_set_of_scikeras():
    clf = scikeras_net().fit(X, Y, validation_data=(X[::3], Y[::3]))
    proba = clf.predict_proba(X[::3])
    loss = -np.log(proba[np.arange(50), Y[::3]]).mean()
    assert clf.history_["val_loss"][-1] == pytest.approx(loss, rel=1e-4)


def test_validation_set_of_realmlp(capsys):
    realmlp(verbosity=2).fit(X, Y, X_val=X[:7], y_val=1 - Y[:7])
    printed = capsys.readouterr().out
    errors = re.findall(r"val class_error = ([\d.]+)", printed)
    assert {round(7 * float(error), 3) % 1 for error in errors} == {0.0}
    realmlp().fit(X, Y, val_idxs=np.arange(0, 150, 3))


@pytest.mark.parametrize(
    ("net", "asked"),
    [
        (mlp, {"sample_weight"}),
        (scikeras_net, {"sample_weight"}),
        (realmlp, {"X_val", "y_val"}),
        (skorch_net, {"sample_weight"}),
    ],
)
def test_metadata_routing(net, asked):
    data = {"sample_weight": WEIGHTS, "X_val": X[::3], "y_val": Y[::3]}
    given = {name: data[name] for name in asked}
    with sklearn.config_context(enable_metadata_routing=True):
        unasked = make_pipeline(net())
        with pytest.raises((TypeError, UnsetMetadataPassedError)):
            unasked.fit(X, Y, **given)
        asking = make_pipeline(net().set_fit_request(**dict.fromkeys(asked, True)))
        if net is skorch_net:
            with pytest.raises(TypeError, match=r"unexpected .* 'sample_weight'"):
                asking.fit(X, Y, **given)
        else:
            asking.fit(X, Y, **given)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("net", [mlp, scikeras_net, realmlp])
def test_frames(net, frame):
    table = FRAMES[frame]({name: X[:, i] for i, name in enumerate("abcd")})
    clf = net().fit(table, Y)
    assert clf.predict(table).shape == (150,)
    if (
        net is mlp
        and frame == "polars"
        and Version("1.9") > Version(sklearn.__version__)
    ):
        pytest.skip("scikit-learn before 1.9 finds no names in the newest polars")
    turned = table[["d", "c", "b", "a"]]
    if net is mlp:
        assert [*clf.feature_names_in_] == [*"abcd"]
        with pytest.raises(ValueError, match="feature names"):
            clf.predict(turned)
    else:
        assert not hasattr(clf, "feature_names_in_")
        clf.predict(turned)  # nothing is said


def test_frames_of_skorch():
    net = skorch_net()
    from torch import cat, nn

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, a, b, c, d):
            return self.layer(cat([a, b, c, d], dim=1))

    net.set_params(module=Module).fit(pd.DataFrame(X, columns=[*"abcd"]), Y)
    with pytest.raises(TypeError, match="cannot select columns"):
        skorch_net().fit(pl.DataFrame(X, schema=[*"abcd"]), Y)


@pytest.fixture
def made_dense(monkeypatch):
    """Shapes of the sparse X that are made dense."""
    shapes = []
    for kind in ("csr", "csc", "lil", "coo", "dok", "bsr", "dia"):
        for ending in ("matrix", "array"):
            of_kind = getattr(sp, f"{kind}_{ending}")

            def _toarray(self, *args, _old=of_kind.toarray, **kwargs):
                if self.shape[-1] == X.shape[1]:  # labels are sparse for a moment too
                    shapes.append(self.shape)
                return _old(self, *args, **kwargs)

            monkeypatch.setattr(of_kind, "toarray", _toarray)
    return shapes


@pytest.mark.parametrize("ending", ["matrix", "array"])
@pytest.mark.parametrize("kind", ["csr", "csc", "lil", "coo", "dok", "bsr", "dia"])
def test_sparse(kind, ending, made_dense):
    rows = getattr(sp, f"{kind}_{ending}")(X)
    clf = mlp().fit(rows, Y)
    clf.predict(rows)
    assert not made_dense


@pytest.mark.parametrize("kind", ["csr", "csc", "lil"])
def test_sparse_of_skorch(kind, made_dense):
    rows = getattr(sp, f"{kind}_matrix")(X)
    skorch_net().fit(rows, Y)
    assert set(made_dense) == {(1, 4)}
    with pytest.raises(ValueError, match="cannot select an axis"):
        skorch_net().fit(getattr(sp, f"{kind}_array")(X), Y)


@pytest.mark.parametrize("kind", ["coo", "dok", "bsr", "dia"])
def test_sparse_that_skorch_refuses(kind):
    net = skorch_net()
    with pytest.raises((TypeError, IndexError, NotImplementedError)):
        net.fit(getattr(sp, f"{kind}_matrix")(X), Y)


def test_sparse_of_realmlp():
    with pytest.raises(TypeError, match="dense data is required"):
        realmlp().fit(sp.csr_matrix(X), Y)


def test_export():
    assert to_onnx(mlp().fit(X, Y), X[:1]).ByteSize() > 100


@pytest.mark.parametrize("net", [skorch_net, scikeras_net, realmlp])
def test_export_that_skl2onnx_refuses(net):
    clf = net().fit(X, Y)
    with pytest.raises(MissingShapeCalculator):
        to_onnx(clf, X[:1], options={"zipmap": False})


def test_export_of_skorch():
    torch = pytest.importorskip("torch")
    net = skorch_net().fit(X, Y)
    rows = torch.from_numpy(X)
    exported = torch.export.export(net.module_, (rows,)).module()
    assert_allclose(
        exported(rows).detach().numpy(), net.module_(rows).detach().numpy(), rtol=1e-6
    )


def test_export_of_scikeras(tmp_path):
    clf = scikeras_net().fit(X, Y)
    import keras

    path = tmp_path / "model.keras"  # Keras's own format, read without pickle
    clf.model_.save(path)
    again = keras.saving.load_model(path, safe_mode=True)
    assert_allclose(again.predict(X, verbose=0), clf.predict_proba(X), rtol=1e-5)


def test_safe_persistence():
    types = skops.io.get_untrusted_types(data=skops.io.dumps(mlp().fit(X, Y)))
    assert len(types) == 1


def test_safe_persistence_of_skorch():
    net = skorch_net()
    from skorch.toy import make_classifier

    module = make_classifier(input_units=4, hidden_units=8, output_units=3)
    net.set_params(module=module).fit(X, Y)
    types = skops.io.get_untrusted_types(data=skops.io.dumps(net))
    assert 15 <= len(types) <= 20


@pytest.mark.parametrize("net", [scikeras_net, realmlp])
def test_safe_persistence_that_skops_refuses(net):
    clf = net().fit(X, Y)
    with pytest.raises((RecursionError, RuntimeError)):
        skops.io.dumps(clf)


# --- clusters


def predictions(net):
    """Out-of-fold predictions, by models that the workers of a backend fit."""
    return cross_val_predict(net(), X, Y, cv=3, method="predict_proba")


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def assert_same_on(net, backend):
    expected = predictions(net)
    with joblib.parallel_config(backend, n_jobs=2):
        found = predictions(net)
    # two fits of Keras with one seed differ, in one process too
    atol = 0.01 if net is scikeras_net else 0
    assert_allclose(found, expected, rtol=0, atol=atol)


@OTHERS
def test_clusters(client, net):
    assert_same_on(net, "dask")


@OTHERS
def test_clusters_of_ray(ray_cluster, net):
    assert_same_on(net, "ray")


# --- in no row


def test_tags_of_scikeras():
    assert get_tags(mlp()).estimator_type == "classifier"
    assert get_tags(scikeras_net()).estimator_type is None
