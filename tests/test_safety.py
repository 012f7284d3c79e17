"""What the package does not do: run text, load pickles, start programs, read files."""

import ast
import builtins
import copy
import ctypes
import importlib
import io
import json
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
import types
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import sknet
from sknet import TwoLayerClassifier

# skops is imported where it is used: it brings libraries that a fresh process has not

MODULES = sorted(Path(sknet.__file__).parent.rglob("*.py"))
# all that a module may import or reach through what it imports, beside sknet itself
NUMERIC = "numpy numpy.typing typing collections.abc"
IMPORTS = {
    "__init__": "",
    "_activations": f"{NUMERIC} scipy.special",
    "_callbacks": "contextlib copy numpy sklearn.callback",
    "_classifier": "numpy sklearn.base sklearn.utils.metaestimators",
    "_columns": f"{NUMERIC} scipy.sparse sklearn.preprocessing",
    "_crossfit": f"{NUMERIC} scipy.optimize scipy.sparse",
    # what pip wrote down of the package, and where the user says that its site is
    "_documentation": "functools importlib.metadata os.environ re",
    "_fitting": "functools math numpy types",
    "_losses": f"{NUMERIC} scipy.linalg.blas scipy.special",
    "_monitor": f"{NUMERIC} math",
    "_network": f"{NUMERIC} numpy.random scipy.sparse",
    "_objects": "numpy typing",
    "_optimizers": f"{NUMERIC} itertools scipy.linalg.blas",
    "_persistence": "warnings",
    "_plot": "matplotlib.cbook matplotlib.lines matplotlib.pyplot matplotlib.ticker "
    "numpy sklearn.utils.validation",
    "_prediction": f"{NUMERIC} scipy.sparse",
    "_preparation": "collections.abc math numpy sklearn.utils typing warnings",
    "_probabilities": "functools numpy sklearn.utils.validation",
    "_publishing": "math numpy typing",
    "_reporting": "logging numpy scipy.special sklearn.exceptions warnings",
    "_rows": "numpy numpy.random scipy.sparse typing",
    "_schedules": "math typing",
    "_session": "contextlib numpy numpy.random scipy.sparse sklearn.utils",
    "_standardizer": f"{NUMERIC} math scipy.sparse",
    "_threads": "functools os.environ os.getpid pathlib.PurePath threading.Lock "
    "threadpoolctl",
    "_training": f"{NUMERIC} math numpy.random scipy.optimize scipy.sparse",
    "_validation": "collections.abc math numbers numpy numpy.exceptions numpy.random "
    "scipy.sparse sklearn sklearn.utils.multiclass "
    "sklearn.utils.validation types typing warnings",
    "_version": "",
    "onnx": "contextlib functools numpy onnx.helper skl2onnx skl2onnx._parse "
    "skl2onnx.algebra.onnx_ops skl2onnx.common.data_types "
    "skl2onnx.common.shape_calculator sklearn.utils.validation",
}
# none of them runs text, opens a file, imports or hands out what could
BUILTINS = (
    "abs all any bool classmethod delattr dict enumerate float getattr hasattr int "
    "isinstance issubclass len list map max min object print property range repr round "
    "set slice sorted str sum super tuple type vars zip"
)
DUNDERS = (
    "__all__ __dict__ __getstate__ __module__ __name__ __new__ __setstate__ "
    "__sklearn_is_fitted__ __sklearn_tags__ __version__"
)
# of what may be imported, what reads or writes a file or runs something all the same
FILES = (
    "DataSource FileHandler basicConfig fromfile fromregex genfromtxt imread imsave "
    "load loadtxt memmap open_memmap save savefig savetxt savez savez_compressed test"
)
METHODS = {"dump", "dumps", "import_module", "loads", "popen", "system", "tofile"}


def imported(tree):
    """Each import: its line, the name it is given, its module and what of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                # "import a.b" gives the name a to a, but "import a.b as c" c to a.b
                whole = alias.asname or "." not in alias.name
                name = alias.asname or alias.name.split(".")[0]
                yield node.lineno, name, alias.name if whole else name, None
                yield node.lineno, None, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, alias.asname or alias.name, module, alias.name


def found(module, name):
    """The object that an import gives a name to; None if it is not installed."""
    try:
        whole = importlib.import_module(module)
        if name is None or hasattr(whole, name):
            return whole if name is None else getattr(whole, name)
        return importlib.import_module(f"{module}.{name}")
    except ImportError:
        return None


def attributes(node):
    """Names in a chain such as a.b.c; empty if it does not begin with a name."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def module_trespasses(tree, allowed):
    """Modules that are imported, or reached through those, but not allowed."""
    known = {}
    for line, name, module, part in imported(tree):
        whole = f"{module}.{part}" if part else module
        if not (module in allowed or whole in allowed or module.startswith("sknet")):
            yield line, f"imports {whole}"
        elif name is not None:
            known[name] = found(module, part)
            if part in FILES.split() or is_foreign(known[name], allowed):
                yield line, f"imports {whole}"
    for node in ast.walk(tree):
        first, *rest = attributes(node) or [None]
        thing = known.get(first)
        for name in rest:
            thing = getattr(thing, name, None)
            if is_foreign(thing, allowed) or (first in known and name in FILES.split()):
                yield node.lineno, f"reaches for {first}.{'.'.join(rest)}"
                break


def is_foreign(thing, allowed):
    """Whether it is a module that may not be used."""
    if not isinstance(thing, types.ModuleType):
        return False
    return thing.__name__ not in allowed and thing.__name__.split(".")[0] != "sknet"


def is_allowed_builtin(name):
    """As a name in the source; what is no builtin is a name of the module's own."""
    thing = getattr(builtins, name, None)
    error = isinstance(thing, type) and issubclass(thing, BaseException)
    return thing is None or name in BUILTINS.split() or error


def name_trespasses(tree):
    """Builtins, dunder names and methods that are not allowed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if not is_allowed_builtin(node.id):
                yield node.lineno, node.id
            if node.id[:2] == "__" and node.id not in DUNDERS.split():
                yield node.lineno, node.id
        if isinstance(node, ast.Attribute) and (
            node.attr in METHODS
            or (node.attr[:2] == "__" and node.attr not in DUNDERS.split())
        ):
            yield node.lineno, f".{node.attr}"


def trespasses(source, allowed):
    """Places where a module reaches for what it is not allowed."""
    tree, allowed = ast.parse(source), set(allowed.split())
    yield from module_trespasses(tree, allowed)
    yield from name_trespasses(tree)


def test_every_module_has_a_list_of_imports():
    assert {path.stem for path in MODULES} == IMPORTS.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_reaches_for_nothing_but_what_it_is_allowed(path):
    places = [f"{path.name}:{n}: {what}" for n, what in trespasses_of(path)]
    assert not places


def trespasses_of(path):
    return trespasses(path.read_text("utf-8"), IMPORTS[path.stem])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_has_leave_that_it_does_not_use(path):
    """An entry too many would let the next change through."""
    source = path.read_text("utf-8")
    for entry in set(IMPORTS[path.stem].split()) - {"typing", "collections.abc"}:
        fewer = " ".join(set(IMPORTS[path.stem].split()) - {entry})
        if entry not in NUMERIC.split():
            assert list(trespasses(source, fewer)), f"{path.name} has no use of {entry}"


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import builtins",
        "import _posixsubprocess",
        "import some_new_package",
        "from subprocess import run",
        "from . import anything",
        "import os.path",
        "import numpy.ctypeslib",
        "from numpy import ctypeslib",
        "from numpy import load as harmless",
        "import numpy.lib.format as harmless",
        "from contextlib import sys",
        "def f():\n    import urllib.request",
        "class A:\n    import asyncio",
        "eval('1')",
        "run = exec",
        "compile('1', '', 'eval')",
        "open('x')",
        "__import__('os')",
        "breakpoint()",
        "globals()['a']",
        "__builtins__['open']",
        "__loader__.load_module('os')",
        "().__class__.__base__.__subclasses__()",
        "(lambda: 0).__globals__",
        "posix.system('ls')",
        "import numpy as np\nnp.load('x.npy')",
        "import numpy as np\nread = np.fromfile",
        "import numpy as np\nnp.ctypeslib.load_library('x', '.')",
        "import numpy as np\nnp.os.system('ls')",
        "import contextlib\ncontextlib.sys.modules",
        "import logging\nlogging.os.remove('x')",
        "import logging\nlogging.FileHandler('x')",
        "X.tofile('x')",
        "X.dump('x')",
    ],
)
def test_a_trespass_would_be_seen(source):
    assert list(trespasses(source, "numpy contextlib logging"))


# --- what the interpreter is asked to do

# events of the interpreter itself in what is allowed
HARMLESS = {"builtins.id", "object.__getattr__", "sys._getframe"}
MAY_BE_UNPICKLED = {"sknet", "numpy", "collections"}
SETTINGS = [
    {},
    {"solver": "sgd", "warm_start": True, "learning_rate": "adaptive"},
    {"solver": "lbfgs", "activation": "tanh"},
    {"n_estimators": 1, "early_stopping": True, "dropout": 0.0},
    {"standardize": False, "verbose": 1, "random_state": None},
    {"store_oof_proba": True, "class_weight": "balanced", "dtype": "float64"},
]


def everything(settings, X, y):
    """Fit, go on, predict, copy, save and load."""
    small = {"hidden_layer_size": 3, "max_iter": 3, "random_state": 0, **settings}
    clf = TwoLayerClassifier(**small).fit(X, y)
    clf.fit(X, y, np.ones(len(y)), X_val=X, y_val=y)
    if clf.solver != "lbfgs":
        clf.partial_fit(X, y)
        TwoLayerClassifier(**small).partial_fit(X, y, classes=[0, 1, 2])
    for model in (clf, copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):
        model.predict(X)
        model.predict_proba(X)
        model.predict_log_proba(X)
        model.decision_function(X)
        model.score(X, y)
    repr(clf)
    try:
        clf.fit(X, y[:-1])
    except ValueError:
        return
    raise AssertionError("labels are missing")


def small_data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(80, 4)), np.arange(80) % 3


def all_settings():
    """In every way, dense and sparse."""
    X, y = small_data()
    for settings in SETTINGS:
        everything(settings, X, y)
        everything(settings, sp.csr_array(np.where(X > 0, X, 0)), y)


# what must not happen; each begins with a way that the list of names might miss
MISDEEDS = {
    "a file is read": lambda: Path(os.devnull).read_bytes(),
    "a file is written": lambda: np.zeros(1).tofile(os.devnull),
    "an array is read": lambda: np.fromfile(os.devnull),
    "a socket": lambda: socket.socket().close(),
    "a name is looked up": lambda: socket.gethostbyname("127.0.0.1"),
    "a shell": lambda: os.system("exit"),
    "a program": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "text": lambda: eval("1 + 1"),
    "code": lambda: exec(compile("1", "text", "exec")),
    "an import": lambda: __import__("this_is_no_module"),
    "a library": lambda: ctypes.CDLL("this_is_no_library"),
    "a listing": lambda: os.listdir("."),
    "a removal": lambda: os.remove("there is no such file"),
    "a pickle of others": lambda: pickle.loads(b"cos\nsystem\n."),
}


ASKERS = ["__main__", "sknet", "narwhals", "threadpoolctl", "sklearn"]
# what libraries do when they are first asked for something: the package whose frame it
# is, or for which the standard library does it; the event; what the event is told
ON_THE_PATH = "|".join(map(re.escape, filter(None, sys.path)))
THREADED = "blas|blis|mkl_rt|libiomp|libgomp|libomp|vcomp"
IMPORTED = r"sklearn[/\\](metrics|utils)|numpy[/\\]_core"
AT_FIRST = [
    # scikit-learn has narwhals look whether X is a frame, and it looks for plugins
    ("narwhals", r"os\.(listdir|scandir)", ON_THE_PATH),
    ("narwhals", "open", rf"({ON_THE_PATH}) rb?"),
    ("narwhals", "open", r".*\.(dist|egg)-info.entry_points\.txt rb?"),
    # sknet has threadpoolctl look which of the libraries that are loaded have threads;
    # without /proc the system's own ones are asked
    ("threadpoolctl", "open", "/proc/self/maps rb?"),
    ("threadpoolctl", r"ctypes\.dlopen", rf"None|.*({THREADED})[^/\\]*"),
    ("threadpoolctl", r"ctypes\.dlopen", r"(Psapi|kernel32)\.dll"),
    ("threadpoolctl", r"ctypes\.dlsym.*", ".*"),
    # score imports the metrics, and repr what prints an estimator; NumPy 1 has _core
    # for what was compiled for NumPy 2
    ("sklearn", "import", r"(sklearn\.(metrics|utils)|numpy\._core)\b.*"),
    ("sklearn", r"os\.listdir|compile|exec", rf".*[/\\]({IMPORTED})\b.*"),
    ("sklearn", "open", rf".*[/\\]({IMPORTED})\b.*\.pyc? rb?"),
    ("sklearn", r"marshal\.loads", ""),
]


def asker():
    """The package that has the interpreter do it, by its innermost frame."""
    frame = sys._getframe(2)  # without this one and the hook's
    while frame is not None:
        name = frame.f_globals.get("__name__", "").split(".")[0]
        if name not in sys.stdlib_module_names:
            return name
        frame = frame.f_back
    return ""


def is_allowed(allowed, *asked):
    """Whether an entry of the list fits: package, event and what it is told."""
    return any(all(map(re.fullmatch, entry, asked)) for entry in allowed)


def events_of(work, allowed=()):
    """Audit events that are not harmless; what raises has raised its events before."""
    events, watching = set(), []

    def hook(event, args):
        if not watching or event in HARMLESS:
            return
        known = args and str(args[0]).split(".")[0] in MAY_BE_UNPICKLED
        if event == "pickle.find_class" and known:
            return
        # no source and no code, which have bytes of any kind
        told = " ".join(str(arg) for arg in args[:2] if not isinstance(arg, bytes))
        asked = asker(), event, told
        if not is_allowed(allowed, *asked):
            events.add(" ".join(asked)[:200])

    sys.addaudithook(hook)  # for as long as the process lives
    watching.append(True)
    try:
        work()
    except (ImportError, OSError):
        events.add("failed")
    finally:
        watching.clear()
    return sorted(events)


def in_the_name_of(name, misdeed):
    """The same function, as if a module of this name had it."""
    return types.FunctionType(misdeed.__code__, {**globals(), "__name__": name})


def tell_events():
    """Run as a script: the events of the first fit, of all others, of each misdeed."""
    warnings.simplefilter("ignore")  # to show one, the line is read from its file
    logging.basicConfig(stream=io.StringIO(), level=logging.INFO)
    told = {
        "first": events_of(lambda: everything({}, *small_data()), AT_FIRST),
        "later": events_of(all_settings),
    }
    for name in ASKERS:
        for what, misdeed in MISDEEDS.items():
            misdeed = in_the_name_of(name, misdeed)
            told[f"{what}, {name}"] = events_of(misdeed, AT_FIRST)
    print(json.dumps(told))


@pytest.fixture(scope="module")
def told_events():
    """By a process in which nothing was fitted before, and that writes no bytecode."""
    script = [sys.executable, "-B", str(Path(__file__))]
    answer = subprocess.run(script, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def test_at_first_libraries_alone_ask_for_something_and_only_what_is_listed(
    told_events,
):
    """The first fit of a process, with all that follows it; none asked by sknet."""
    assert told_events["first"] == []
    assert not {package for package, *_ in AT_FIRST} & {"sknet", "__main__"}


def test_fitting_and_predicting_ask_the_interpreter_for_nothing(told_events):
    """No import, file, program, socket, library or text that is run."""
    assert told_events["later"] == []


@pytest.mark.parametrize("misdeed", MISDEEDS)
@pytest.mark.parametrize("name", ASKERS)
def test_a_misdeed_would_be_heard_whoever_does_it(told_events, misdeed, name):
    """In the first fit as well, where some of each library's own is allowed."""
    assert set(told_events[f"{misdeed}, {name}"]) - {"failed"}


# --- loading through skops


def saved():
    """A small model as skops saves it."""
    import skops.io

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 2)), np.arange(20) % 2
    clf = TwoLayerClassifier(2, n_estimators=1, max_iter=1, early_stopping=False)
    return skops.io.dumps(clf.partial_fit(X, y, classes=[0, 1]))


def test_loading_through_skops_needs_one_type_and_runs_nothing():
    """No audit event of a program, a network connection or text that is run."""
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

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
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

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


if __name__ == "__main__":
    tell_events()
