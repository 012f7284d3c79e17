"""What the package asks the interpreter to do: nothing but to compute.

No text is run, no pickle loaded, no program started, and no file is opened. What the
source may call is checked by bandit.
"""

import copy
import ctypes
import io
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from sknet import TwoLayerClassifier

HARMLESS = {"builtins.id", "object.__getattr__", "sys._getframe"}
MAY_BE_UNPICKLED = {"sknet", "numpy", "collections"}
SETTINGS = [
    {},
    {"solver": "sgd", "warm_start": True, "class_weight": "balanced"},
    {"solver": "lbfgs", "activation": "tanh", "store_oof_proba": True},
    {"n_estimators": 1, "early_stopping": True, "dropout": 0.0, "dtype": "float64"},
    {"standardize": False, "verbose": 1, "random_state": None},
]


def everything(settings, X, y):
    """Fit, continue, predict, copy, save and load."""
    small = {"hidden_layer_size": 3, "max_iter": 3, "random_state": 0, **settings}
    clf = TwoLayerClassifier(**small).fit(X, y)
    clf.fit(X, y, np.ones(len(y)), X_val=X, y_val=y)
    if clf.solver != "lbfgs":
        clf.partial_fit(X, y)
        TwoLayerClassifier(**small).partial_fit(X, y, classes=[0, 1, 2])
    for model in (clf, copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):
        model.predict(X)
        model.decision_function(X)
        model.score(X, y)
    repr(clf)


def all_settings():
    """In every way, dense and sparse."""
    X, y = np.random.default_rng(0).normal(size=(80, 4)), np.arange(80) % 3
    for settings in SETTINGS:
        everything(settings, X, y)
        everything(settings, sp.csr_array(np.where(X > 0, X, 0)), y)


MISDEEDS = {
    "a file is read": lambda: Path(os.devnull).read_bytes(),
    "a file is written": lambda: np.zeros(1).tofile(os.devnull),
    "a socket": lambda: socket.socket().close(),
    "a shell": lambda: os.system("exit"),
    "a program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "text": lambda: eval("1 + 1"),
    "an import": lambda: __import__("this_is_no_module"),
    "a library": lambda: ctypes.CDLL("this_is_no_library"),
    "a listing": lambda: os.listdir("."),
    "a pickle of others": lambda: pickle.loads(b"cos\nsystem\n."),
}


def events_of(work):
    """Audit events of some work that are not harmless."""
    events, watching = set(), []

    def hook(event, args):
        if not watching or event in HARMLESS:
            return
        known = args and str(args[0]).split(".")[0] in MAY_BE_UNPICKLED
        if not (event == "pickle.find_class" and known):
            events.add(event)

    sys.addaudithook(hook)  # for as long as the process lives
    watching.append(True)
    try:
        work()
    except (ImportError, OSError):
        pass
    finally:
        watching.clear()
    return sorted(events)


def tell_events():
    """Run as a script: the events of all fits but the first, and of each misdeed."""
    warnings.simplefilter("ignore")  # to show one, the line is read from its file
    logging.basicConfig(stream=io.StringIO(), level=logging.INFO)
    all_settings()  # what libraries do when they are first used is not ours
    told = {"fits": events_of(all_settings)}
    told |= {what: events_of(misdeed) for what, misdeed in MISDEEDS.items()}
    print(json.dumps(told))


def test_fitting_and_predicting_ask_the_interpreter_for_nothing():
    answer = subprocess.run(
        [sys.executable, str(Path(__file__))],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(answer.stdout)
    assert told.pop("fits") == []
    assert told.keys() == MISDEEDS.keys()
    assert all(told.values())  # each misdeed would have been heard


if __name__ == "__main__":
    tell_events()
