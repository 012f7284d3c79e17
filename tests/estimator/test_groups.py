"""groups=: rows of one subject are left out together. And an x that fills many rows."""

import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknet import TwoLayerClassifier

# random labels: no network is better than the class frequencies
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_GROUPS, SIZE = 40, 5
CHANCE = np.log(2)


@pytest.fixture
def patients(rng):
    """Rows near the centre of their group, whose label is random: X, y, groups."""
    centres, labels = rng.normal(size=(N_GROUPS, 6)), rng.permutation(N_GROUPS) % 2
    groups = np.repeat(rng.permutation(N_GROUPS), SIZE)
    X = centres[groups] + 1e-3 * rng.normal(size=(len(groups), 6))
    return X, labels[groups], groups


@pytest.fixture
def net(small_net):
    defaults = {"n_estimators": 4, "early_stopping": "auto", "store_oof_proba": True}
    defaults |= {"hidden_layer_size": 32, "blend": False, "max_iter": 30}
    return lambda **more: small_net(**(defaults | more))


@pytest.mark.parametrize("settings", [{}, {"blend": True}, {"solver": "lbfgs"}])
def test_a_group_is_left_out_as_a_whole(net, patients, settings):
    """Its other rows tell a row's label, and nothing else does."""
    X, y, groups = patients
    leaky = net(**settings).fit(X, y)
    honest = net(**settings).fit(X, y, groups=groups)
    assert log_loss(y, leaky.oof_proba_) < 0.4 * CHANCE
    assert log_loss(y, honest.oof_proba_) > 0.75 * CHANCE
    assert leaky.best_validation_loss_ < 0.4 * CHANCE
    assert honest.best_validation_loss_ > 0.75 * CHANCE
    assert honest.temperature_ > leaky.temperature_


def test_a_row_without_weight_is_left_out_with_its_group(net, patients):
    X, y, groups = patients
    weightless = np.unique(groups, return_index=True)[1]  # one row of each group
    weight = np.ones(len(y))
    weight[weightless] = 0
    proba = net().fit(X, y, weight, groups=groups).oof_proba_[weightless]
    assert log_loss(y[weightless], proba) > 0.75 * CHANCE


def test_one_member_holds_whole_groups_out(net, patients):
    X, y, groups = patients
    settings = {"n_estimators": 1, "early_stopping": True, "store_oof_proba": False}
    settings |= {"n_iter_no_change": 99, "validation_fraction": 0.3}
    assert net(**settings).fit(X, y).best_validation_loss_ < 0.4 * CHANCE
    clf = net(**settings).fit(X, y, groups=groups)
    assert clf.validation_loss_curve_[-1] > 0.8 * CHANCE


def test_weights_are_copies_within_a_group(net, rng, patients):
    X, y, groups = patients
    weight = rng.integers(0, 4, len(y))
    weight[groups == 3] = 0  # a group that is absent
    copies = rng.permutation(np.repeat(np.arange(len(y)), weight))
    clf = net(blend=True, max_iter=5).fit(X, y, weight, groups=groups)
    other = net(blend=True, max_iter=5)
    other.fit(X[copies], y[copies], groups=groups[copies])
    assert_array_equal(clf.predict_proba(X), other.predict_proba(X), strict=True)
    assert_array_equal(clf.oof_proba_[copies], other.oof_proba_, strict=True)


@pytest.mark.parametrize(
    ("n_groups", "match"), [(1, "1 groups? .*No rows are left out"), (3, "3 groups")]
)
def test_too_few_groups_are_said_once(net, patients, n_groups, match):
    X, y, groups = patients
    with pytest.warns(UserWarning, match="group") as caught:
        clf = net(store_oof_proba=False, max_iter=3).fit(X, y, groups=groups % n_groups)
    (message,) = (str(w.message) for w in caught if w.category is UserWarning)
    assert re.search(match, message)
    assert (clf.validation_loss_curve_ is None) == (n_groups == 1)


BAD = {
    r"inconsistent numbers of samples.*199": lambda g: g[:-1],
    "groups has missing values: 5 of 200": lambda g: np.where(g == 3, np.nan, g),
    r"groups.*\(200, 2\)": lambda g: np.column_stack([g, g]),
    r"groups must hold labels of one type.*\['int', 'str'\]": lambda g: [
        *g[1:].tolist(),
        "a",
    ],
}


@pytest.mark.parametrize("match", BAD)
def test_bad_groups_are_named(net, patients, match):
    X, y, groups = patients
    with pytest.raises(ValueError, match=match):
        net().fit(X, y, groups=BAD[match](groups))
    with pytest.raises(ValueError, match=r"partial_fit leaves no rows out.*groups"):
        net().partial_fit(X, y, [0, 1], groups=groups)


def test_groups_are_routed_through_a_pipeline(net, patients):
    X, y, groups = patients
    with config_context(enable_metadata_routing=True):
        clf = make_pipeline(StandardScaler(), net().set_fit_request(groups=True))
        clf.fit(X, y, groups=groups)
        assert log_loss(y, clf[-1].oof_proba_) > 0.75 * CHANCE
        options = {"params": {"groups": groups}, "return_estimator": True}
        results = cross_validate(clf, X, y, cv=GroupKFold(2), **options)
    for fitted in results["estimator"]:
        assert fitted[-1].best_validation_loss_ > 0.5 * CHANCE  # of 20 groups


# --- heavy rows


def test_a_pattern_that_fills_a_third_of_the_rows_is_in_every_fold():
    """As if its rows were a little different from each other."""

    def table(seed, n=1500):
        rng = np.random.default_rng(seed)
        X = np.exp(rng.normal(size=(n, 4)))
        p = 1 / (1 + np.exp(3 - X[:, 0] * X[:, 1]))
        X[: n // 3], p[: n // 3] = 0.1, 0.01
        return X, (rng.random(n) < p).astype(int)

    (X, y), (X_new, y_new) = table(0), table(1, 9000)
    jitter = 1e-4 * np.random.default_rng(2).normal(size=X.shape)
    settings = {"max_iter": 30, "random_state": 0, "blend": False}
    clf = TwoLayerClassifier(24, **settings).fit(X, y)
    jittered = TwoLayerClassifier(24, **settings).fit(X + jitter, y)
    found = log_loss(y_new, clf.predict_proba(X_new))
    assert found < 1.03 * log_loss(y_new, jittered.predict_proba(X_new))
    assert clf.temperature_ == pytest.approx(jittered.temperature_, rel=0.15)
