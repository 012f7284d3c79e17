"""What users of other networks tripped over, numbered.

Each is something that went wrong for somebody with MLPClassifier, skorch or scikeras.
"""

import pickle
import resource
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    check_sample_weight_equivalence_on_sparse_data,
)

from sknet import TwoLayerClassifier
from sknet._optimizers import ScalingLayerAdam

SMALL = {"hidden_layer_size": 16, "n_estimators": 2, "max_iter": 10, "random_state": 0}


def params(estimator):
    return np.concatenate(
        [a.ravel() for a in [*estimator.coefs_, *estimator.intercepts_]]
    )


def blobs(n=400, n_classes=3, seed=0, **options):
    return make_classification(
        n, 8, n_informative=6, n_classes=n_classes, random_state=seed, **options
    )


def test_01_minibatches_in_which_all_weights_are_zero():
    X, y = blobs(2000)
    weight = np.zeros(2000)
    weight[::40] = 1.0
    clf = TwoLayerClassifier(batch_size=32, random_state=0).fit(X, y, weight)
    alone = TwoLayerClassifier(batch_size=32, random_state=0).fit(X[::40], y[::40])
    np.testing.assert_array_equal(params(clf), params(alone))


def test_02_weights_of_ones_are_no_weights_bit_for_bit():
    X, y = blobs()
    for early_stopping in (False, True):
        make = TwoLayerClassifier(early_stopping=early_stopping, **SMALL)
        a, b = clone(make).fit(X, y), clone(make).fit(X, y, np.ones(len(y)))
        np.testing.assert_array_equal(params(a), params(b))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"]),
        np.array(["a", "b", "c"]),
        np.array(["no", "yes"], dtype=object),
        np.array(["a", "b", "c"], dtype=object),
        np.array([False, True]),
    ],
)
def test_03_string_labels_with_early_stopping(labels):
    X, y = blobs(n_classes=len(labels))
    clf = TwoLayerClassifier(early_stopping=True, **SMALL).fit(X, labels[y])
    codes = TwoLayerClassifier(early_stopping=True, **SMALL).fit(X, y)
    np.testing.assert_array_equal(clf.predict(X), labels[codes.predict(X)])


def test_04_one_positive_in_200_with_early_stopping():
    X, _ = blobs(200)
    y = np.zeros(200, int)
    y[17] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # prior is hard to beat
        clf = TwoLayerClassifier(early_stopping=True, **SMALL).fit(X, y)
    assert clf.classes_.tolist() == [0, 1]
    assert clf.predict_proba(X).shape == (200, 2)


@pytest.mark.parametrize("seed", range(20))
def test_05_rare_classes_are_in_training_and_validation(seed, monkeypatch):
    X, _ = blobs(200, seed=seed)
    y = np.zeros(200, int)
    y[:5], y[5:7], y[7] = 1, 2, 3
    seen = {}
    from sknet import _fitting

    def spy(network, standardizer, data):
        seen["validation"] = data
        return _ValidationLoss(network, standardizer, data)

    def spy_batches(data, *args, **kwargs):
        seen["training"] = data
        return _Minibatches(data, *args, **kwargs)

    _ValidationLoss, _Minibatches = _fitting.ValidationLoss, _fitting.Minibatches
    monkeypatch.setattr(_fitting, "ValidationLoss", spy)
    monkeypatch.setattr(_fitting, "Minibatches", spy_batches)
    options = {**SMALL, "random_state": seed, "n_estimators": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        TwoLayerClassifier(early_stopping=True, **options).fit(X, y)
    training, validation = seen["training"], seen["validation"]
    assert set(training.y) == {0, 1, 2, 3}
    assert set(validation.y) == {0, 1, 2}  # class 3 has a single row
    assert sorted([*training.rows, *validation.rows]) == list(range(200))


def test_06_one_column_times_ten_thousand_on_iris():
    X, y = load_iris(return_X_y=True)
    X = X * [1, 1, 1e4, 1]
    clf = TwoLayerClassifier(random_state=0)
    assert cross_val_score(clf, X, y, cv=5).mean() >= 0.95
    with (
        pytest.warns(UserWarning, match=r"standardize=False.*2 \(up to"),
        pytest.warns(ConvergenceWarning),
    ):
        TwoLayerClassifier(standardize=False, **SMALL).fit(X, y)


def test_07_a_frame_with_early_stopping_raises_no_warning():
    frame = load_iris(as_frame=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = TwoLayerClassifier(early_stopping=True, random_state=0)
        clf.fit(frame.data, frame.target).predict_proba(frame.data)
    assert clf.feature_names_in_.tolist() == frame.data.columns.tolist()


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("learning_rate", ["cosine", "constant"])
@pytest.mark.parametrize("standardize", [True, False])
def test_08_a_learning_rate_of_1000_ends_finite_with_one_warning(
    solver, learning_rate, standardize
):
    X, y = blobs()
    clf = TwoLayerClassifier(
        solver=solver,
        learning_rate=learning_rate,
        learning_rate_init=1e3,
        standardize=standardize,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match="learning_rate_init=1000") as caught:
        clf.fit(X, y)
    assert len(caught) == 1
    assert np.isfinite(params(clf)).all()
    assert np.isfinite(clf.loss_curve_).all()
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_09_log_probabilities_far_out_are_finite(n_classes):
    X, y = blobs(n_classes=n_classes)
    for standardize in (True, False):
        clf = TwoLayerClassifier(standardize=standardize, random_state=0).fit(X, y)
        for far in (X * 200, X * 1e6, -X * 1e9):
            assert np.isfinite(clf.predict_log_proba(far)).all()
            assert np.isfinite(clf.decision_function(far)).all()


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_10_one_class_only(solver, early_stopping):
    X, _ = blobs()
    y = np.full(len(X), "only")
    clf = TwoLayerClassifier(solver=solver, early_stopping=early_stopping, **SMALL)
    clf.fit(X, y)
    assert (clf.predict(X) == "only").all()
    np.testing.assert_array_equal(clf.predict_proba(X), np.ones((len(X), 1)))
    np.testing.assert_array_equal(clf.predict_log_proba(X), np.zeros((len(X), 1)))
    assert np.isfinite(params(clf)).all()


def test_11_a_pickle_is_its_weights_and_does_not_grow():
    X, y = load_digits(return_X_y=True)
    clf = TwoLayerClassifier(256, max_iter=3, random_state=0).fit(X, y)
    n_bytes = sum(a.nbytes for a in [*clf.coefs_, *clf.intercepts_])
    assert len(pickle.dumps(clf)) <= 1.1 * n_bytes
    X, y = blobs(20)
    clf = TwoLayerClassifier(16, random_state=0)
    sizes = []
    for i in range(2000):
        clf.partial_fit(X, y, classes=[0, 1, 2])
        if i in (199, 1999):
            sizes.append(len(pickle.dumps(clf)))
    assert sizes[1] <= sizes[0] + 200


def test_12_a_big_uint8_array_is_not_copied():
    """Resident memory over X's own 200 MB, in a process of its own."""
    code = """
    import resource
    import numpy as np
    from sknet import TwoLayerClassifier
    X = np.random.default_rng(0).integers(0, 255, (100_000, 2_000), dtype=np.uint8)
    y = (X[:, 0] > 127).astype(int)
    clf = TwoLayerClassifier(8, n_estimators=1, max_iter=1, batch_size=256)
    clf.fit(X[:500], y[:500])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clf.fit(X, y).predict_proba(X)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
    )
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 60e6  # float64 would be 1.6 GB, float32 0.8 GB
    assert resource.RUSAGE_SELF == 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_13_k_partial_fits_are_k_epochs():
    X, y = blobs()
    options = {"batch_size": 32, "learning_rate": "constant", "random_state": 0}
    options["early_stopping"] = False
    whole = TwoLayerClassifier(max_iter=6, **options).fit(X, y)
    stream = TwoLayerClassifier(**options)
    for _ in range(6):
        stream.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_allclose(params(stream), params(whole), rtol=1e-6, atol=1e-8)


def test_14_the_optimum_under_decay_does_not_depend_on_the_batch_size():
    """Batches of 20, 200 and 2000 rows; MLPClassifier's norm grows 2.5-fold."""
    X, y = blobs(2000, n_classes=2)
    norms = []
    for batch_size in (20, 200, 2000):
        clf = TwoLayerClassifier(
            16,
            n_estimators=1,
            activation="tanh",
            solver="sgd",
            alpha=0.02,
            batch_size=batch_size,
            learning_rate_init=0.05 * (batch_size / 2000) ** 0.5,
            max_iter=round(4000 * (batch_size / 2000) ** 0.5),
            dtype="float64",
            random_state=0,
        ).fit(X, y)
        norms.append(np.sqrt(sum((w**2).sum() for w in clf.coefs_)))
    np.testing.assert_allclose(norms, norms[-1], rtol=0.02)


def test_15_the_best_weights_are_kept_when_max_iter_ends_training():
    X, y = blobs(300, n_classes=2, flip_y=0.3)
    clf = TwoLayerClassifier(
        early_stopping=True,
        learning_rate="constant",
        learning_rate_init=0.02,
        n_iter_no_change=1000,
        max_iter=60,
        random_state=0,
    ).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert clf.stop_reason_ == "max_iter"
    assert clf.best_iter_ < clf.n_iter_ == 60
    log_p = clf.predict_log_proba(X[200:])[np.arange(100), y[200:]]
    assert -log_p.mean() == pytest.approx(min(clf.validation_loss_curve_), rel=1e-5)


def test_16_an_interrupt_leaves_a_usable_model_and_goes_on(monkeypatch):
    X, y = blobs()
    step, calls = ScalingLayerAdam.step, []

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == 100:
            raise KeyboardInterrupt
        step(self, *args)

    monkeypatch.setattr(ScalingLayerAdam, "step", interrupted)
    clf = TwoLayerClassifier(random_state=0, batch_size=40)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y)
    assert clf.n_iter_ == len(clf.loss_curve_) == 9  # ten steps an epoch
    assert clf.stop_reason_ == "interrupted"
    assert clf.predict_proba(X).shape == (400, 3)


@pytest.mark.parametrize(
    "load", [load_iris, load_wine, load_breast_cancer, load_digits]
)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_17_a_default_fit_warns_of_nothing(load, early_stopping):
    X, y = load(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scale in (1.0, 1 / X.max()):
            clf = TwoLayerClassifier(early_stopping=early_stopping, random_state=0)
            clf.fit(X * scale, y)
    assert clf.score(X * scale, y) > 0.95


def test_18_read_only_fortran_and_memory_mapped_rows(tmp_path):
    X, y = blobs()
    path = tmp_path / "X.npy"
    np.save(path, X)
    read_only = X.copy()
    read_only.flags.writeable = False
    expected = params(TwoLayerClassifier(**SMALL).fit(X, y))
    for variant in (read_only, np.asfortranarray(X), np.load(path, mmap_mode="r")):
        clf = TwoLayerClassifier(**SMALL).fit(variant, y)
        np.testing.assert_array_equal(params(clf), expected)
        np.testing.assert_array_equal(variant, X)


def test_19_a_clone_after_set_params():
    X, y = blobs()
    clf = TwoLayerClassifier(**SMALL).fit(X, y)
    other = clone(clf.set_params(hidden_layer_size=5, class_weight={0: 2.0}))
    assert other.get_params() == clf.get_params()
    assert not hasattr(other, "coefs_")
    assert other.fit(X, y).coefs_[0].shape == (2, 16, 5)


def test_20_a_grid_search_in_two_processes_gives_the_same():
    """That it is not slower either is measured in the benchmarks."""
    X, y = blobs()
    searches = []
    for n_jobs in (1, 2):
        grid = {"alpha": [1e-3, 1e-2], "hidden_layer_size": [4, 8]}
        search = GridSearchCV(TwoLayerClassifier(**SMALL), grid, cv=3, n_jobs=n_jobs)
        searches.append(search.fit(X, y))
    a, b = (s.cv_results_["mean_test_score"] for s in searches)
    np.testing.assert_array_equal(a, b)
    a, b = (params(s.best_estimator_) for s in searches)
    np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "check",
    [
        check_sample_weight_equivalence_on_dense_data,
        check_sample_weight_equivalence_on_sparse_data,
    ],
)
def test_21_scikit_learns_weight_equivalence(check):
    for options in ({}, {"batch_size": 4, "dropout": 0.5, "early_stopping": True}):
        clf = TwoLayerClassifier(**options)
        assert check(type(clf).__name__, clf) is None


def test_sparse_rows_are_never_densified():
    """A million columns: one dense minibatch would take 64 MB, X 8 GB."""
    rng = np.random.default_rng(0)
    n, d = 1000, 1_000_000
    data, indices = np.ones(10 * n), rng.integers(0, d, size=10 * n)
    X = sp.csr_array((data, indices, np.arange(0, 10 * n + 1, 10)), shape=(n, d))
    y = np.arange(n) % 2
    X = sp.hstack([X, sp.csr_array(y[:, np.newaxis] * 1.0)], format="csr")
    clf = TwoLayerClassifier(2, n_estimators=1, max_iter=30, batch_size=64)
    clf.set_params(learning_rate_init=0.05, random_state=0).fit(X, y)
    assert clf.score(X, y) > 0.9


@pytest.mark.parametrize("wild", [999_999.0, -999_999.0, 1e300])
def test_a_code_for_missing_values_does_not_drown_its_column(wild):
    """One cell of each column among 600 rows: as if it had not been there."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2600, 4))
    y = X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3] > 0
    train, test = slice(600), slice(600, None)
    clf = TwoLayerClassifier(n_estimators=4, random_state=0, max_iter=40)
    score = clf.fit(X[train], y[train]).score(X[test], y[test])
    scale = clf.scale_
    X[range(4), range(4)] = wild
    spoilt = clf.fit(X[train], y[train]).score(X[test], y[test])
    np.testing.assert_allclose(clf.scale_, scale, rtol=0.01)
    assert score > 0.8
    assert spoilt > score - 0.03
    # unbounded, such inputs must stay small
    with warnings.catch_warnings(action="ignore"):
        clf.set_params(squash=None, max_iter=2).fit(X[train], y[train])
    assert (clf.scale_ > 1e4).all()


@pytest.mark.parametrize("wild", [1e12, 1e20, 1e38])
@pytest.mark.parametrize("units", [3.0, 1e3])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_code_for_missing_values_leaves_units_alone(wild, units):
    """In the order of the rows, too, it must leave digits to the other columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    y = X[:, 0] + X[:, 1] > 0
    X[:60, 0] = wild
    clf = TwoLayerClassifier(8, n_estimators=3, max_iter=5, random_state=0)
    expected = clf.fit(X, y).predict_proba(X)
    X[:, 1] *= units
    np.testing.assert_allclose(clf.fit(X, y).predict_proba(X), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_many_values_of_another_size_are_no_code():
    """A quarter of a column's values, which tell the label by their size, count."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 2))
    large = rng.random(2000) < 0.24
    X[large, 0] = rng.uniform(2e4, 2e6, size=large.sum())
    y = np.where(large, X[:, 0] > 1e6, X[:, 1] > 0)
    clf = TwoLayerClassifier(16, n_estimators=3, random_state=0).fit(X[:1000], y[:1000])
    test = large & (np.arange(2000) >= 1000)
    assert clf.score(X[test], y[test]) > 0.9


SCALES = [1e-300, 1e-160, 1.0, 1e160, 1e300]


@pytest.mark.parametrize("of_classes", [1e-200, 1e200, 1e300])
@pytest.mark.parametrize("of_rows", SCALES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_scale_of_weights_says_nothing(of_rows, of_classes):
    """Neither that of the rows' nor of the classes', nor both at the same end."""
    X, y = load_iris(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=150)
    ratios = {0: 1.0, 1: 0.5, 2: 0.25}

    def answers(of_rows, of_classes):
        class_weight = {c: of_classes * ratio for c, ratio in ratios.items()}
        clf = TwoLayerClassifier(
            8, n_estimators=2, max_iter=3, random_state=0, class_weight=class_weight
        )
        clf.fit(X, y, of_rows * weight)
        proba = clf.predict_proba(X)
        stream = clf.partial_fit(X, y, sample_weight=of_rows * weight)
        return proba, stream.predict_proba(X)

    with np.errstate(all="raise"):
        given = answers(of_rows, of_classes)
    for proba, expected in zip(given, answers(1.0, 1.0), strict=True):
        np.testing.assert_allclose(proba, expected, rtol=1e-5)


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1e300, 1: 1e-300}])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_scale_of_validation_weights_says_nothing(scale, class_weight):
    X, y = load_breast_cancer(return_X_y=True)
    weight = np.random.default_rng(0).uniform(0.5, 2, size=len(y))

    def curve(scale):
        clf = TwoLayerClassifier(
            8, n_estimators=2, max_iter=3, random_state=0, class_weight=class_weight
        )
        clf.fit(X, y, X_val=X, y_val=y, sample_weight_val=scale * weight)
        return clf.validation_loss_curve_

    with np.errstate(all="raise"):
        found = curve(scale)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, curve(1.0), rtol=1e-12)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_class_of_hardly_any_weight_is_still_a_class(method):
    X, y = load_iris(return_X_y=True)
    clf = TwoLayerClassifier(8, n_estimators=2, max_iter=3, random_state=0)
    clf.set_params(class_weight={0: 1e300, 1: 1e-100, 2: 1.0})
    clf.fit(X, y)
    if method == "partial_fit":
        clf.partial_fit(X[y == 1], y[y == 1])
    assert clf.classes_.tolist() == [0, 1, 2]
    assert np.isfinite(clf.predict_proba(X)).all()


def test_validation_rows_of_a_class_without_weight_are_refused():
    X, y = load_iris(return_X_y=True)
    clf = TwoLayerClassifier(class_weight={0: 0.0, 1: 1.0, 2: 1.0})
    with pytest.raises(ValueError, match="class_weight gives every row of y_val"):
        clf.fit(X, y, X_val=X[y == 0], y_val=y[y == 0])


UNITS = {
    "plain": np.ones(4),
    "huge": np.full(4, 1e300),
    "of all sizes": np.array([1e300, 1, 1e-300, 1e9]),
    "denormal": np.full(4, 1e-320),
    "beyond float32": np.full(4, 1e30),
}


@pytest.mark.parametrize("units", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
@pytest.mark.parametrize(
    "settings",
    [{}, {"standardize": False}, {"solver": "lbfgs"}, {"learning_rate_init": 1e5}],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:standardize=False, but some columns")
def test_nothing_raises_a_float_error_whatever_the_caller_set(
    units, container, settings
):
    """A caller who lets NumPy raise gets the same bits as one who does not."""
    X, y = load_iris(return_X_y=True)
    X = container(X * units)
    sizes = {"hidden_layer_size": 8, "n_estimators": 3, "max_iter": 3}

    def answers():
        clf = TwoLayerClassifier(random_state=0, **sizes, **settings).fit(X, y)
        if hasattr(clf, "partial_fit"):
            clf.partial_fit(X, y)
        given = clf.predict(X), clf.predict_proba(X), clf.predict_log_proba(X)
        return *given, clf.decision_function(X)

    with np.errstate(all="raise"):
        strict = answers()
    with np.errstate(all="ignore"):
        np.testing.assert_equal(answers(), strict)
