"""What the package does not do: run text, load pickles, start programs, read files."""

import ast
import io
import json
import os
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

import sknet
from sknet import TwoLayerClassifier

MODULES = sorted(Path(sknet.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {
    "ctypes",
    "dill",
    "ftplib",
    "http",
    "importlib",
    "joblib",
    "marshal",
    "multiprocessing",
    "os",
    "pickle",
    "requests",
    "runpy",
    "shelve",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "urllib",
}
# what pip wrote down of the package, and where the user says that its site is
ALLOWED = {"importlib.metadata", "os.environ"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "open", "__import__", "input"}
FORBIDDEN_METHODS = {"system", "popen", "load", "loads", "fromfile", "tofile", "memmap"}
# an optimizer's load takes a dict of arrays, not a file
OWN_METHODS = {("_fitting.py", "load"), ("_optimizers.py", "load")}


def trespasses(source, name):
    """Places where a module reaches for what it must not have."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            modules = []
        for module in modules:
            if module.split(".")[0] in FORBIDDEN_MODULES and module not in ALLOWED:
                yield f"{name}:{node.lineno}: imports {module}"
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_CALLS:
            yield f"{name}:{node.lineno}: {node.id}"
        if (
            isinstance(node, ast.Attribute)
            and node.attr in FORBIDDEN_METHODS
            and (name, node.attr) not in OWN_METHODS
        ):
            yield f"{name}:{node.lineno}: .{node.attr}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_runs_no_text_and_reads_no_file(path):
    found = list(trespasses(path.read_text("utf-8"), path.name))
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from subprocess import run",
        "import os.path",
        "from os import system",
        "def f():\n    import urllib.request",
        "eval('1')",
        "run = exec",
        "posix.system('ls')",
        "np.load('x.npy')",
    ],
)
def test_a_trespass_would_be_seen(source):
    assert list(trespasses(source, "any.py"))


# --- loading through skops


def saved():
    """A small model as skops saves it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 2)), np.arange(20) % 2
    clf = TwoLayerClassifier(2, n_estimators=1, max_iter=1, early_stopping=False)
    return skops.io.dumps(clf.partial_fit(X, y, classes=[0, 1]))


def test_loading_through_skops_needs_one_type_and_runs_nothing():
    """No audit event of a program, a network connection or text that is run."""
    data, watching, events = saved(), [], []

    def hook(event, args):
        if watching:
            events.append((event, args))

    sys.addaudithook(hook)
    skops.io.loads(data, trusted=["sknet.TwoLayerClassifier"])  # imports are done
    watching.append(True)
    clf = skops.io.loads(data, trusted=["sknet.TwoLayerClassifier"])
    watching.clear()
    assert clf.predict(np.zeros((1, 2))) in (0, 1)
    bad = re.compile(r"exec|subprocess|os\.(system|exec|fork|posix_spawn)|socket")
    bad_events = [e for e, _ in events if bad.match(e)]
    assert not bad_events
    assert events  # the hook was listening
    with pytest.raises(UntrustedTypesFoundException, match=r"sknet\.TwoLayerClass"):
        skops.io.loads(data)


def test_a_forged_file_does_not_smuggle_another_type_in():
    """Trust in the classifier is no trust in what hangs on its attributes."""
    with zipfile.ZipFile(io.BytesIO(saved())) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    text = parts["schema.json"].decode()
    schema = json.loads(text)
    forged = json.loads(text)
    state = forged["content"]["content"]
    name = next(iter(state))
    state[name] = {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "FunctionNode",
        "content": {"function": "system", "module_path": "os"},
        "__id__": 1,
    }
    assert forged != schema
    parts["schema.json"] = json.dumps(forged).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    with pytest.raises(UntrustedTypesFoundException, match=r"os\.system"):
        skops.io.loads(file.getvalue(), trusted=["sknet.TwoLayerClassifier"])
    assert callable(os.system)


def test_setstate_runs_nothing_of_the_state():
    """A state is stored as it is: no entry is called, imported or evaluated."""

    class Trap:
        def __call__(self, *args):
            raise AssertionError("called")

        __reduce__ = __iter__ = __len__ = __call__

    clf = TwoLayerClassifier()
    state = {**clf.__getstate__(), "anything": Trap(), "verbose": "os.system('ls')"}
    clf.__setstate__(state)
    assert clf.verbose == "os.system('ls')"
