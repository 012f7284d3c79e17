"""Seeds, clones, subclasses, what "auto" becomes, verbose and the HTML table."""

import logging
import re

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_array_equal
from packaging.version import Version
from sklearn.base import clone
from sklearn.datasets import load_iris

from sknet import TwoLayerClassifier

X, Y = load_iris(return_X_y=True)
SKLEARN = Version(Version(sklearn.__version__).base_version)
SHORT_FIT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# --- seeds, clones and subclasses


@pytest.mark.parametrize(
    "make", [np.random.RandomState, np.random.default_rng, np.random.seed]
)
def test_a_generator_gives_another_model_each_time(small_net, params_of, make):
    """None takes NumPy's global one."""
    clf = small_net(random_state=make(7))
    first, second = (params_of(clf.fit(X, Y)) for _ in "ab")
    assert (first != second).any()
    again = small_net(random_state=make(7))
    assert_array_equal(params_of(again.fit(X, Y)), first)


def test_a_clone_has_the_settings_and_nothing_else(small_net, params_of):
    clf = small_net().fit(X, Y).set_params(hidden_layer_size=5, class_weight="balanced")
    copied = clone(clf)
    assert copied.get_params() == clf.get_params()
    assert vars(copied).keys() == clf.get_params().keys()
    expected = small_net(hidden_layer_size=5, class_weight="balanced").fit(X, Y)
    assert_array_equal(params_of(copied.fit(X, Y)), params_of(expected))


class Narrow(TwoLayerClassifier):
    """A subclass with fewer settings and one of its own."""

    def __init__(self, width=4, *, max_iter=8, random_state=0):
        super().__init__(width, max_iter=max_iter, random_state=random_state)
        self.width = width


def test_a_subclass_may_have_settings_of_its_own(params_of):
    expected = TwoLayerClassifier(4, max_iter=8, random_state=0).fit(X, Y)
    assert_array_equal(params_of(Narrow().fit(X, Y)), params_of(expected))
    assert list(Narrow().get_params()) == ["max_iter", "random_state", "width"]


def test_callbacks_can_be_set_where_scikit_learn_has_them(small_net):
    clf = small_net().fit(X, Y)
    assert hasattr(clf, "set_callbacks") == (Version("1.9") <= SKLEARN)
    assert not [name for name in vars(clf) if "callback" in name]


# --- what "auto" becomes


@SHORT_FIT
@pytest.mark.parametrize(
    ("d", "given", "expected"),
    [
        (100, {}, (12, 48)),
        (60_000, {}, (12, 23)),
        (100_000, {}, (10, 16)),
        (2**20, {"n_estimators": "auto", "hidden_layer_size": 2}, (8, 2)),
        (100_000, {"hidden_layer_size": 40}, (4, 40)),
        (2**20, {"n_estimators": 1}, (1, 16)),
        (2**20, {"n_estimators": 2, "hidden_layer_size": 3}, (2, 3)),
    ],
)
def test_auto_takes_fewer_units_for_very_many_columns(d, given, expected):
    """At most 2 ** 24 weights in the first layer, but four members of 8 units."""
    rows = sp.csr_array((np.ones(20), np.arange(20), np.arange(21)), shape=(20, d))
    clf = TwoLayerClassifier(max_iter=1, solver="sgd", **given)
    clf.fit(rows, np.arange(20) % 2)
    assert (clf.n_estimators_, clf.hidden_layer_size_) == expected
    assert clf.intercepts_[0].size == np.prod(expected)


@SHORT_FIT
@pytest.mark.parametrize(("d", "n_variants"), [(100, 4), (4_000, 3), (15_000, 2)])
def test_a_blend_of_many_columns_has_no_wide_variants(rng, d, n_variants):
    """Knots would need 13 inputs for each column, and ranks three."""
    rows = rng.normal(size=(40, d)).astype(np.float32)
    clf = TwoLayerClassifier(max_iter=1, blend=True, early_stopping=True)
    clf.fit(rows, np.arange(40) % 2)
    assert len(clf.blend_weights_) == n_variants


@SHORT_FIT
@pytest.mark.parametrize(
    ("n", "d", "dropout", "batch_size"),
    [
        (100, 2, 0.5, 32),
        (5000, 2, 0.5, 62),
        (5200, 2, 0.35, 65),
        (24000, 2, 0.35, 256),
        (5000, 128, 0.5, 83),  # 256 inputs: three quarters of the steps
    ],
)
def test_auto_follows_the_number_of_rows(rng, n, d, dropout, batch_size):
    rows = rng.normal(size=(n, d))
    clf = TwoLayerClassifier(2, n_estimators=1, max_iter=1).fit(rows, rows[:, 0] > 0)
    assert (clf.dropout_, clf.batch_size_) == (dropout, batch_size)
    clf.set_params(dropout=0.1, batch_size=7).fit(rows, rows[:, 0] > 0)
    assert (clf.dropout_, clf.batch_size_) == (0.1, 7)


@SHORT_FIT
def test_columns_enter_twice_unless_they_are_many_or_two_valued(rng):
    rows, y = rng.normal(size=(40, 129)), np.arange(40) % 2
    rows[:, 5], rows[:, 7] = y, 3.0

    def split_of(rows, n_knots, **settings):
        clf = TwoLayerClassifier(2, max_iter=1, n_knots="auto", **settings)
        clf.set_params(**n_knots).fit(rows, y)
        n_inputs = clf.coefs_[0].shape[-2]
        assert n_inputs == rows.shape[1] + len(clf.split_columns_)
        assert clf.n_knots_ == (1 if len(clf.split_columns_) else 0)
        return clf.split_columns_.tolist()

    varied = [j for j in range(129) if j not in (5, 7)]
    assert split_of(rows, {}) == split_of(rows, {"n_knots": 1}) == varied
    wider = np.hstack([rows, rng.normal(size=(40, 2))])
    assert split_of(wider, {}) == split_of(rows, {"n_knots": 0}) == []
    assert split_of(wider, {"n_knots": 1}) == [*varied, 129, 130]
    assert split_of(rows, {"n_knots": 1}, standardize=False) == []
    assert split_of(sp.csr_array(rows), {"n_knots": 1}) == []


# --- verbose


def test_verbose_writes_to_the_logger_every_k_epochs(small_net, caplog):
    small_net().fit(X, Y)
    assert not caplog.records
    clf = small_net(verbose=3, early_stopping=True, n_iter_no_change=99).fit(X, Y)
    lines = [r.getMessage() for r in caplog.records if r.name == "sknet"]
    assert [r.levelno for r in caplog.records] == [logging.INFO] * 3
    assert lines[0].startswith(f"Epoch 3, training loss = {clf.loss_curve_[2]:.6f}")
    assert f"{clf.validation_loss_curve_[2]:.6f}" in lines[0]
    assert lines[1].startswith("Epoch 6, ")
    assert lines[2].startswith("Stopped after 8 epochs (max_iter).")


@pytest.mark.parametrize(("verbose", "n_lines"), [(0, 0), (1, 9), (4, 3), (True, 9)])
def test_verbose_prints_where_logging_is_not_set_up(
    small_net, monkeypatch, capsys, verbose, n_lines
):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    small_net(verbose=verbose).fit(X, Y)
    found = capsys.readouterr()
    assert len(found.out.splitlines()) == n_lines
    assert found.err == ""


# --- the HTML table

STATES = {
    "unfitted": lambda net: net(),
    "fitted": lambda net: net().fit(X, Y),
    "one member": lambda net: net(n_estimators=1).fit(X, Y),
    "not standardized": lambda net: net(standardize=False).fit(X, Y),
    "lbfgs": lambda net: net(solver="lbfgs").fit(X, Y),
    "out of fold": lambda net: net(early_stopping=True, store_oof_proba=True).fit(X, Y),
    "a stream": lambda net: net().partial_fit(X, Y, classes=[0, 1, 2]),
    "markup": lambda net: net().fit(X, np.array(["<b>", "a & b", "c"])[Y]),
    "other settings": lambda net: net().fit(X, Y).set_params(solver="lbfgs"),
    "invalid settings": lambda net: net(alpha="<b>", dropout=[1, 2], tol=np.ones(3)),
}


@pytest.fixture(params=STATES.values(), ids=STATES)
def estimator(request, small_net):
    return request.param(small_net)


@SHORT_FIT
def test_the_table_has_every_setting_and_changes_nothing(estimator):
    before = dict(vars(estimator))
    html = estimator._repr_html_()
    assert all(name in html for name in estimator.get_params())
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())
    assert not re.search(r'href="[^"#]', html)  # no link to the site of others


@SHORT_FIT
def test_no_property_raises_what_would_break_the_table(estimator):
    """scikit-learn reads every public name that ends in an underscore."""
    for name in dir(estimator):
        if name.endswith("_") and not name.startswith("_"):
            try:
                getattr(estimator, name)
            except AttributeError:
                assert not hasattr(estimator, "classes_")


@pytest.mark.skipif(
    Version("1.9") > SKLEARN, reason="attributes are shown since scikit-learn 1.9"
)
def test_all_documented_attributes_are_in_the_table(small_net):
    clf = small_net(early_stopping=True, store_oof_proba=True).fit(X, Y)
    listed = clf._repr_html_().partition("Fitted attributes")[2]
    section = TwoLayerClassifier.__doc__.partition("Attributes\n")[2]
    section = section.partition("References\n")[0]
    headings = re.findall(r"^    (\w+_(?:, \w+_)*) : ", section, re.M)
    documented = ", ".join(headings).split(", ")
    assert len(documented) > 15
    missing = [
        name
        for name in documented
        if name != "feature_names_in_"  # X is an array
        and not re.search(rf">\s*{name}\s*<", listed)
    ]
    assert not missing
