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
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from sknet import TwoLayerClassifier

N_FITS, N_REFUSALS = (2_400, 240), (10, 1)  # nightly and else; of each illegal value

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
    "batch_size": pick("auto", 1, 3, 8, 10_000, 2**31 - 1, np.uint8(5)),
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
    "n_iter_no_change": pick(1, 2, 8, math.inf, 2**31 - 1, np.int64(3)),
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


# illegal values by hand, none of them taken from the package's own rules

with np.errstate(over="ignore"):  # infinite where such floats are not wider
    WIDE = np.ldexp(np.longdouble(1), 2000)
NAN = (math.nan, np.float64("nan"), np.float32("nan"), np.float16("nan"))
INF = (math.inf, -math.inf, np.float64("inf"), np.float32("-inf"))
BOOLS = (True, False, np.True_, np.False_)
# what is neither a number nor a word nor nothing
THINGS = (
    [],
    [1],
    (1,),
    {}.keys(),
    {1},
    1j,
    np.complex64(1),
    b"1",
    b"",
    object(),
    float,
)
TEXTS = ("", " ", "1", "0.5", "nan", "inf", "none", "None", "AUTO", " auto", "Auto")
# numbers in a box, which are no numbers
BOXES = (np.array(1), np.array(0.5), np.array([1]), np.array([0.5]), np.array(True))
NO_NUMBER = (*NAN, *BOOLS, *THINGS, *TEXTS, *BOXES, Decimal("0.5"))
HUGE = (10**400, -(10**400), Fraction(10**400), Fraction(-(10**400)), WIDE, -WIDE)
NEGATIVE = (-1, -0.5, -5e-324, -1e300, np.int8(-1), np.int64(-1), np.float32(-0.5))
ZERO = (0, 0.0, -0.0, np.int64(0), np.uint8(0), np.float32(0), Fraction(0))
ONE_UP = (1, 1.0, math.nextafter(1, 2), 1.5, np.int8(1), np.float32(1), 1e300)
NO_REAL = (None, *NO_NUMBER, *INF, *HUGE, *NEGATIVE)  # nor zero or above
# more than can be counted to
MANY = (2**31, 2**40, 2**63, np.int64(2**31), np.uint64(2**63), 10**400, -(10**400))
NO_COUNT = (
    *(None, *NO_NUMBER, -math.inf, *NEGATIVE, *ZERO, *MANY),
    *(0.5, 1.0, 2.0, 2.5, 1e300, np.float64(3), np.float32(2), Fraction(3), Decimal(3)),
)
NO_BOOL = (
    *(None, *NAN, *INF, *THINGS, *TEXTS, *BOXES, *HUGE, *NEGATIVE, *ZERO),
    *(1, 1.0, np.int8(1), np.uint8(1), np.float32(1), "True", "true", "yes", "no"),
)
NO_WORD = (
    *(None, *NAN, *INF, *BOOLS, *THINGS, *TEXTS, *BOXES, *HUGE, *NEGATIVE, *ZERO),
    *(1, 2.0, "auto", "relu ", "Adam", "ADAM", "adams", "cosines", "float", "f4"),
    *(b"relu", b"adam", ["relu"], ("adam",), np.array("relu"), np.array(["adam"])),
)
ILLEGAL = {
    "hidden_layer_size": (*NO_COUNT, math.inf, np.float32("inf"), (9,), "all"),
    "n_estimators": (*NO_COUNT, math.inf, np.float32("inf"), (2, 2), "many"),
    "activation": (*NO_WORD, "adam", "gelu", "softmax", math.tanh),
    "solver": (*NO_WORD, "relu", "rmsprop", "newton-cg", "liblinear"),
    "alpha": (*NO_REAL, "auto"),
    "batch_size": (*NO_COUNT, math.inf, np.float32("inf"), "all"),
    "learning_rate": (*NO_WORD, "relu", 0.01, "optimal", "linear"),
    "learning_rate_init": (*NO_REAL, *ZERO, "auto"),
    "power_t": (*NO_REAL, "auto"),
    "max_iter": (*NO_COUNT, math.inf, np.float32("inf"), "auto"),
    "shuffle": (*NO_BOOL, "auto"),
    "random_state": (
        *(*NO_NUMBER, *INF, *NEGATIVE, -(10**400), -WIDE, "auto", np.random),
        *(0.0, 1.5, np.float64(0), np.random.SeedSequence(0), np.random.PCG64(0)),
    ),
    "tol": (*NO_REAL, "auto"),
    "verbose": (
        *(None, *NAN, *INF, *THINGS, *TEXTS, *BOXES, *NEGATIVE, *MANY, WIDE),
        *(0.0, 0.5, 1.0, np.float32(1), "auto"),
    ),
    "warm_start": (*NO_BOOL, "auto"),
    "momentum": (*NO_REAL, *ONE_UP, "auto"),
    "nesterovs_momentum": (*NO_BOOL, "auto"),
    "early_stopping": (*NO_BOOL, "never"),
    "validation_fraction": (*NO_REAL, *ZERO, *ONE_UP, "auto"),
    "store_oof_proba": (*NO_BOOL, "auto"),
    "beta_1": (*NO_REAL, *ONE_UP, "auto"),
    "beta_2": (*NO_REAL, *ONE_UP, "auto"),
    "epsilon": (*NO_REAL, *ZERO, "auto"),
    "n_iter_no_change": (*NO_COUNT, "auto", "inf"),
    "dropout": (*NO_REAL, *ONE_UP),
    "input_dropout": (*NO_REAL, *ONE_UP, "auto"),
    "scaling_layer": (*NO_BOOL, "auto"),
    "standardize": (*NO_BOOL, "auto"),
    "split_inputs": (*NO_BOOL, "some"),
    "squash": (
        *(*NO_NUMBER, *INF, *HUGE, *NEGATIVE, *ZERO, "auto"),
        *(0.09, math.nextafter(0.1, 0), 5e-324, np.float32(0.01), Fraction(1, 11)),
    ),
    "dtype": (
        *(*NO_WORD, "float16", "float128", "double", "<f4", 32, 64, np.float32),
        *(np.float64, np.dtype("float32"), np.dtype("float64")),
    ),
    "class_weight": (
        *(*NAN, *INF, *BOOLS, *THINGS, *TEXTS, *BOXES, *HUGE, *NEGATIVE, *ZERO),
        *("auto", "balance", "Balanced", 1, 2.0, [1, 2], (1, 2), np.ones(2)),
        *([(0, 1), (1, 2)], {0, 1}),
    ),
}


# legal on their own, but not as the float that is computed with: zero and one
NEARLY_ZERO = (Fraction(1, 10**400), np.ldexp(np.longdouble(1), -2000))
NEARLY_ONE = (
    1 - Fraction(1, 10**400),
    1 - Fraction(1, 2**60),
    1 - np.longdouble(2.0**-60),
)
MORE_ILLEGAL = {
    **dict.fromkeys(("learning_rate_init", "epsilon"), NEARLY_ZERO),
    **dict.fromkeys(("momentum", "beta_1", "beta_2"), NEARLY_ONE),
    **dict.fromkeys(("dropout", "input_dropout"), NEARLY_ONE),
    "validation_fraction": (*NEARLY_ZERO, *NEARLY_ONE),
    # compared with inf these are no bool
    "n_iter_no_change": (np.array([1, 2]), np.array([math.inf]), pd.NA),
    # with more digits than Python writes
    **dict.fromkeys(("alpha", "tol"), (10**5000, -(10**5000))),
    **dict.fromkeys(("max_iter", "batch_size", "verbose"), (10**5000, -(10**5000))),
}
ILLEGAL |= {name: (*ILLEGAL[name], *more) for name, more in MORE_ILLEGAL.items()}


def shown(value):
    """The beginning of its repr, unless Python finds that too long to write."""
    try:
        return f"{value!r:.40}"
    except ValueError:
        return f"an int of {value.bit_length()} bits"


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
    assert LEGAL.keys() == ILLEGAL.keys() == names


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


# --- what is refused


def fault_of_a_refusal(clf, name, method):
    """What is wrong with how a setting is refused; None if nothing is."""
    before = dict(vars(clf))
    try:
        getattr(clf, method)(Untouchable(), Untouchable())
    except (ValueError, TypeError) as error:
        if not str(error).startswith(f"The '{name}' parameter of TwoLayerClassifier"):
            return f"is not named: {error!r}"
    except Exception as error:
        return f"raises {error!r}"
    else:
        return "is taken"
    same = vars(clf).keys() == before.keys()
    same = same and all(vars(clf)[key] is before[key] for key in before)
    return None if same else "changes the estimator"


@pytest.mark.parametrize("name", ILLEGAL)
def test_an_illegal_setting_among_legal_ones_is_named_before_any_work(
    name, long_or_quick, base_seed
):
    faults = []
    for seed in range(long_or_quick(*N_REFUSALS)):
        rng = np.random.default_rng([99, seed, base_seed])
        for value in ILLEGAL[name]:
            settings = {**random_settings(rng), "solver": "adam", name: value}
            for method in ("fit", "partial_fit"):
                fault = fault_of_a_refusal(TwoLayerClassifier(**settings), name, method)
                if fault:
                    faults.append(f"{name}={shown(value)} in {method} {fault}")
    assert not faults, "\n".join(sorted(set(faults)))
