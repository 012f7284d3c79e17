"""Random settings: whatever is legal works on tiny data, whatever is not is named.

The settings are drawn from all that the rules in ``_validation`` allow, ends included,
each fit with its own seed. ``SKNET_TESTS_PROFILE=nightly`` draws ten times as many, and
others each night: pytest's header names the seed, ``SKNET_TESTS_SEED`` takes it again.
"""

import datetime
import json
import math
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from sknet import TwoLayerClassifier
from sknet._validation import RULES

N_FITS, N_REFUSALS = (2_400, 240), (2_400, 240)  # nightly and else

OUR_WARNINGS = re.compile(
    r"The best loss, .* is no better than predicting|The loss was not finite|"
    r"early_stopping needs more distinct rows|standardize=False, but some columns|"
    r"store_oof_proba=True needs folds|The weights that warm_start continues"
)


def pick(*values):
    return lambda rng: values[rng.integers(len(values))]


def log_uniform(low, high):
    return lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high))))


def either(*samplers):
    return lambda rng: samplers[rng.integers(len(samplers))](rng)


def random_state(rng):
    return np.random.RandomState(rng.integers(2**32))


BOOL = pick(True, False, np.True_, np.False_)
BELOW_ONE = math.nextafter(1, 0)
LEGAL = {
    "hidden_layer_size": pick("auto", 1, 2, 7, np.int8(3), np.int64(5)),
    "n_estimators": pick("auto", 1, 1, 2, 3, np.int32(4)),
    "activation": pick("relu", "tanh", "logistic", "identity"),
    "solver": pick("adam", "sgd", "lbfgs"),
    "alpha": either(pick(0, 0.0, 5e-324, 1e3, 1e300), log_uniform(1e-8, 1e2)),
    "batch_size": pick("auto", 1, 3, 8, 10_000, 2**40, np.uint8(5)),
    "learning_rate": pick("cosine", "constant", "invscaling", "adaptive"),
    "learning_rate_init": either(
        log_uniform(1e-6, 1), log_uniform(1e-300, 1e300), pick(np.float32(0.01), 1)
    ),
    "power_t": either(pick(0, 0.5, 1, 1e3, 1e300), log_uniform(1e-3, 1e1)),
    "max_iter": pick(1, 2, 4, np.int64(6)),
    "shuffle": BOOL,
    "random_state": either(
        pick(None, 0, 2**70, np.int64(3)), np.random.default_rng, random_state
    ),
    "tol": either(pick(0, 0.0, 1e-4, 1e300), log_uniform(1e-12, 1e2)),
    "verbose": pick(0, False, 0, 0),
    "warm_start": BOOL,
    "momentum": pick(0, 0.0, 0.5, 0.9, BELOW_ONE, np.float32(0.9)),
    "nesterovs_momentum": BOOL,
    "early_stopping": either(BOOL, pick("auto")),
    "validation_fraction": either(pick(5e-324, BELOW_ONE), lambda rng: rng.random()),
    "store_oof_proba": BOOL,
    "beta_1": pick(0, 0.0, 0.5, 0.9, BELOW_ONE),
    "beta_2": pick(0, 0.0, 0.5, 0.999, BELOW_ONE),
    "epsilon": either(pick(5e-324, 1e-8, 1e300), log_uniform(1e-16, 1)),
    "n_iter_no_change": pick(1, 2, 8, math.inf, 10**400, np.int64(3)),
    "dropout": either(pick("auto", 0, 0.5, BELOW_ONE), lambda rng: rng.random()),
    "input_dropout": either(pick(0, 0.0, BELOW_ONE), lambda rng: rng.random()),
    "scaling_layer": BOOL,
    "standardize": BOOL,
    "split_inputs": either(BOOL, pick("auto")),
    "squash": either(pick(None, 0.1, 5, 1e300), log_uniform(0.1, 1e3)),
    "dtype": pick("float32", "float64"),
    "class_weight": pick(
        None, "balanced", {0: 1, 1: 2.0, 2: 0.5}, {0: 0, 1: 1, 2: 1}, {0: 1e300}, {}
    ),
}
NEVER = [None, "", "none", "AUTO", [1], (), {"a": 1}.keys(), 1j, math.nan, -1, -0.5]
ILLEGAL = {
    name: [*NEVER, *more]
    for name, more in {
        **dict.fromkeys(LEGAL, ()),
        "hidden_layer_size": (0, 1.0, True, math.inf),
        "alpha": (math.inf, "0", True),
        "learning_rate_init": (0, math.inf, "0.1", False),
        "max_iter": (0, 3.0, math.inf),
        "shuffle": (0, 1, 0.0),
        "momentum": (1, 1.5),
        "validation_fraction": (0, 1, 1.0),
        "epsilon": (0, math.inf),
        "n_iter_no_change": (0, 2.5, -math.inf),
        "dropout": (1, 1.0, True),
        "squash": (0, 0.09, math.inf),
        "dtype": ("float16", np.float32),
        "random_state": (1.5, True),
        "class_weight": ("balance", 2),
    }.items()
}


class Untouchable:
    """Data that nobody may look at."""

    def __getattribute__(self, name):
        raise AssertionError(f"the data were looked at: {name}")


def random_settings(rng):
    return {name: draw(rng) for name, draw in LEGAL.items()}


def tiny_problem(rng):
    n, d = rng.integers(6, 40), rng.integers(1, 5)
    X = np.round(rng.normal(size=(n, d)), rng.integers(0, 4))
    X *= 10.0 ** rng.integers(-3, 4, size=d)
    y = rng.integers(0, 3, size=n)
    y[:3] = 0, 1, 2
    weight = rng.uniform(0.1, 2, size=n) if rng.random() < 0.3 else None
    if rng.random() < 0.25:
        X = sp.csr_array(X * (rng.random((n, d)) < 0.5))
    elif rng.random() < 0.3:
        X = X.astype(np.float32)
    return X, y, weight


def assert_finite(clf, X):
    proba = clf.predict_proba(X)
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=2e-6)
    assert np.isfinite(clf.predict_log_proba(X)).all()
    assert np.isfinite(clf.decision_function(X)).all()
    np.testing.assert_array_equal(clf.predict(X), clf.classes_[proba.argmax(axis=1)])
    assert np.isfinite(clf.loss_curve_).all()
    assert np.isfinite(clf.temperature_)
    assert all(np.isfinite(part).all() for part in [*clf.coefs_, *clf.intercepts_])


def learn_in_every_way(clf, X, y, weight, rng):
    """Fit, then go on as the settings allow; finite after each."""
    validate = rng.random() < 0.2
    clf.fit(X, y, weight, **({"X_val": X, "y_val": y} if validate else {}))
    assert_finite(clf, X)
    if clf.warm_start:
        clf.fit(X, y, weight)
        assert_finite(clf, X)
    if hasattr(clf, "partial_fit"):
        clf.partial_fit(X, y, sample_weight=weight)
        assert_finite(clf, X)


@pytest.mark.parametrize("part", range(8))
def test_all_legal_settings_fit(part, long_or_quick, base_seed):
    """No exception, nothing that is not finite, no warning that is not ours."""
    for number in range(long_or_quick(*N_FITS) // 8):
        seed = [part, number, base_seed]
        rng = np.random.default_rng(seed)
        settings, data = random_settings(rng), tiny_problem(rng)
        clf = TwoLayerClassifier(**settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                learn_in_every_way(clf, *data, rng)
            except Exception as error:
                raise AssertionError(f"seed {seed}: {settings}") from error
        foreign = [f"{w.message} ({w.filename})" for w in caught if not is_ours(w)]
        assert not foreign, f"seed {seed}: {foreign}, {settings}"


def is_ours(warning):
    return OUR_WARNINGS.match(str(warning.message)) is not None


def test_all_settings_are_drawn():
    names = TwoLayerClassifier().get_params().keys()
    assert LEGAL.keys() == ILLEGAL.keys() == RULES.keys() == names


# --- the seed of a night

TELL = """
import json, runpy, sys, hypothesis
header = runpy.run_path(sys.argv[1])["pytest_report_header"]()
now = hypothesis.settings.default
print(json.dumps([header, now.max_examples, now.derandomize, now.print_blob]))
"""


def told_by_conftest(**environment):
    """The header, and what hypothesis goes by, as on a server that sets CI."""
    other = {k: v for k, v in os.environ.items() if k[:11] != "SKNET_TESTS"}
    answer = subprocess.run(
        [sys.executable, "-c", TELL, str(Path(__file__).parent / "conftest.py")],
        env={**other, "CI": "true", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


def test_each_night_has_a_seed_of_its_own_that_the_header_names():
    days = {f"{datetime.date.today():%Y%m%d}"}
    header, n_examples, same_ones, says_how = told_by_conftest(
        SKNET_TESTS_PROFILE="nightly"
    )
    days.add(f"{datetime.date.today():%Y%m%d}")  # it may have been midnight
    assert header.split("SKNET_TESTS_SEED=")[1] in days
    assert (n_examples, same_ones, says_how) == (600, False, True)
    header, *_ = told_by_conftest(SKNET_TESTS_PROFILE="nightly", SKNET_TESTS_SEED="7")
    assert header.endswith("profile nightly, SKNET_TESTS_SEED=7")


def test_ordinary_runs_are_all_the_same():
    header, n_examples, same_ones, _ = told_by_conftest()
    assert header.endswith("profile quick, SKNET_TESTS_SEED=0")
    assert (n_examples, same_ones) == (60, True)


def is_illegal(name, value):
    allows, _ = RULES[name]
    return not allows(value)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_illegal_setting_among_legal_ones_is_named_before_any_work(
    method, long_or_quick
):
    for seed in range(long_or_quick(*N_REFUSALS) // 2):
        rng = np.random.default_rng([99, seed])
        settings = {**random_settings(rng), "solver": "adam"}
        name = rng.choice(list(ILLEGAL))
        bad = [value for value in ILLEGAL[name] if is_illegal(name, value)]
        settings[name] = bad[rng.integers(len(bad))]
        if method == "partial_fit" and name == "solver":
            continue  # which says whether there is such a method
        clf = TwoLayerClassifier(**settings)
        before = dict(vars(clf))
        with pytest.raises((ValueError, TypeError), match=f"The '{name}' parameter"):
            getattr(clf, method)(Untouchable(), Untouchable())
        assert vars(clf).keys() == before.keys()
        assert all(vars(clf)[key] is before[key] for key in before)
