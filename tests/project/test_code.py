"""The rules of the package: rooms, imports, docstrings, version and paths."""

import ast
import doctest
import importlib
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from packaging.version import Version

import sknet
from sknet import LossCurveDisplay, TwoLayerClassifier

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "sknet"
MODULES = sorted(PACKAGE.rglob("*.py"))
PUBLIC_CLASSES = [LossCurveDisplay, TwoLayerClassifier]
OPTIONAL = {
    "matplotlib",
    "onnx",
    "onnxruntime",
    "pandas",
    "polars",
    "skl2onnx",
    "skops",
    "torch",
}
# a path that only one machine has: a home directory, a scratch directory, a drive
PRIVATE_PATH = re.compile(
    r"(?<![\w./-])/(?:home|Users|root|work|tmp|mnt)/\w|\b[A-Za-z]:\\Users\\"
)

each_module = pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE))
)


def read(path):
    return Path(path).read_text(encoding="utf-8")


# --- rooms and imports


def imports_of(path, *, when_loaded=False):
    """Names that a module imports, as dotted paths: anywhere, or as it is loaded."""
    tree = ast.parse(read(path))
    for node in tree.body if when_loaded else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path):
    """The folder of a module in the package, or its name if it has none."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def rooms_below():
    """The rooms that each room imports from."""
    below = {room_of(path): set() for path in MODULES}
    for path in MODULES:
        for name in imports_of(path):
            package, _, rest = name.partition(".")
            if package == "sknet" and rest:  # "import sknet" is for the version
                below[room_of(path)].add(rest.split(".")[0])
        below[room_of(path)].discard(room_of(path))
    return below


def test_rooms_stand_on_at_most_six_floors():
    """A room imports from rooms below it only, so none imports itself in a circle."""
    below, floors = rooms_below(), {}
    while len(floors) < len(below):
        ready = [r for r in below if r not in floors and below[r] <= floors.keys()]
        assert ready, f"rooms that import each other: {below.keys() - floors.keys()}"
        level = 1 + max(floors.values(), default=0)
        floors |= dict.fromkeys(ready, level)
    assert max(floors.values()) <= 6


def test_numeric_rooms_know_nothing_above_them():
    below = rooms_below()
    assert below["_network"] == below["_data"] == set()
    assert below["_training"] <= {"_data", "_network"}
    assert below["_display"] == set()


@each_module
def test_scikit_learn_is_not_imported_where_only_arrays_are_known(path):
    packages = {name.split(".")[0] for name in imports_of(path)}
    assert room_of(path) not in {"_network", "_training"} or "sklearn" not in packages


@each_module
def test_a_module_is_loaded_with_the_dependencies_alone(path):
    dependencies = {"joblib", "narwhals", "numpy", "scipy", "sklearn", "threadpoolctl"}
    known = {*sys.stdlib_module_names, *dependencies, "sknet"}
    packages = {name.split(".")[0] for name in imports_of(path, when_loaded=True)}
    assert packages <= known, f"{path.stem} needs {packages - known} to be loaded"


def packages_loaded_by(*statements):
    """Top-level names in ``sys.modules`` of a fresh process after each statement."""
    code = "import json, sys; loaded = []\n"
    code += "".join(f"{s}; loaded.append([*sys.modules])\n" for s in statements)
    answer = subprocess.run(
        [sys.executable, "-c", code + "print(json.dumps(loaded))"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = json.loads(answer.stdout)
    return [{name.split(".")[0] for name in names} for names in loaded]


def test_the_import_loads_no_optional_package():
    # scikit-learn loads pandas by itself where that is installed
    before, after = packages_loaded_by(
        "import sklearn.base",
        "import sknet, sknet.onnx; sknet.LossCurveDisplay(train_loss=[1.0])",
    )
    assert "sknet" in after - before
    assert not (after - before) & OPTIONAL


# --- docstrings


def section(documented, title):
    """Headings ``names : type`` of a numpydoc section, as pairs; None without one."""
    lines = inspect.getdoc(documented).splitlines()
    underlined = (title, "-" * len(title))
    starts = [i for i in range(len(lines)) if tuple(lines[i : i + 2]) == underlined]
    if not starts:
        return None
    (start,) = starts
    headings = []
    for line, following in itertools.pairwise([*lines[start + 2 :], ""]):
        if following and set(following) == {"-"}:  # the next section's underline
            break
        if line and not line.startswith(" "):
            names, _, kind = line.partition(" : ")
            headings.append((names.split(", "), kind))
    return headings


def documented_names(documented, title):
    """All names of a section."""
    headings = section(documented, title) or []
    return [name for names, _ in headings for name in names]


def public_methods():
    """Public methods that the public classes themselves define, by name."""
    return {
        f"{public.__name__}.{name}": getattr(public, name)
        for public in PUBLIC_CLASSES
        for name, value in vars(public).items()
        if not name.startswith("_") and not isinstance(value, property)
    }


@pytest.mark.parametrize("public", PUBLIC_CLASSES)
def test_every_setting_is_documented_in_the_order_of_the_signature(public):
    settings = list(inspect.signature(public).parameters)
    assert documented_names(public, "Parameters") == settings


@pytest.mark.parametrize("public", PUBLIC_CLASSES)
def test_documented_defaults_are_those_of_the_signature(public):
    signature = inspect.signature(public).parameters
    for names, kind in section(public, "Parameters"):
        if "default=" not in kind:
            required = [signature[n].default is inspect.Parameter.empty for n in names]
            assert all(required), f"{', '.join(names)}: no default=... in {kind!r}"
            continue
        defaults = kind.partition("default=")[2].split(", ")
        for name, default in zip(names, defaults, strict=True):
            actual = signature[name].default
            documented = ast.literal_eval(default)
            assert (type(documented), documented) == (type(actual), actual), name


@pytest.mark.parametrize("name", sorted(public_methods()))
def test_a_method_documents_its_parameters_and_its_result(name):
    method = public_methods()[name]
    parameters = [p for p in inspect.signature(method).parameters if p != "self"]
    assert documented_names(method, "Parameters") == parameters
    assert section(method, "Returns"), f"{name} has no Returns section"


def test_fitted_attributes_are_those_in_the_docstring():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=[*"abc"])
    clf = TwoLayerClassifier(early_stopping=True, random_state=0).fit(X, X["a"] > 0)
    properties = {
        name
        for name, value in vars(TwoLayerClassifier).items()
        if isinstance(value, property)
    }
    fitted = {
        name
        for name in {*vars(clf), *properties}
        if name.endswith("_") and not name.startswith("_")
    }
    assert fitted == set(documented_names(TwoLayerClassifier, "Attributes"))


def test_attributes_of_a_drawn_display_are_those_in_the_docstring():
    display = LossCurveDisplay(train_loss=[2.0, 1.0])
    stored = set(vars(display))
    plt.close(display.plot().figure_)
    drawn = set(vars(display)) - stored
    assert drawn == set(documented_names(LossCurveDisplay, "Attributes"))


def test_every_example_is_run():
    """doctest leaves out objects that name another module as their own."""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
    ]
    finder = doctest.DocTestFinder()
    tests = [t for name in names for t in finder.find(importlib.import_module(name))]
    n_written = sum(read(path).count(">>> ") for path in MODULES)
    assert sum(len(test.examples) for test in tests) == n_written > 10


# --- the project as a whole


def test_the_version_is_a_release_of_the_changelog():
    version = Version(sknet.__version__)  # raises unless it follows PEP 440
    assert str(version) == sknet.__version__, f"PEP 440's normal form is {version}"
    changelog = read(ROOT / "docs" / "changelog.md")
    headings = re.findall(r"^## \[(.+?)\]", changelog, re.M)
    assert headings[0] == "Unreleased"
    released = list(map(Version, headings[1:]))
    assert released == sorted(released, reverse=True)
    if version.is_devrelease:
        assert Version(version.base_version) > released[0]
    else:
        assert version == released[0], f"the changelog has no heading for {version}"


def test_no_file_holds_a_path_of_one_machine():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    found = []
    for name in map(os.fsdecode, listed.stdout.split(b"\0")[:-1]):
        path = ROOT / name
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" in content:
            continue  # not a text
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            found += [f"{name}:{number}: {line}"] if PRIVATE_PATH.search(line) else []
    assert not found, "paths of one machine:\n" + "\n".join(found)


# --- the seeds of the tests

TELL = """
import os, runpy, sys, hypothesis
for seed in ("", "7"):
    os.environ["SKNET_TESTS_SEED"] = seed
    for profile in ("", "nightly"):
        os.environ["SKNET_TESTS_PROFILE"] = profile
        header = runpy.run_path(sys.argv[1])["pytest_report_header"]()
        now = hypothesis.settings.default
        print(header.partition("profile ")[2], now.max_examples, now.derandomize)
"""


def test_ordinary_runs_are_alike_and_each_night_has_a_seed(monkeypatch):
    """Also where CI is set, which hypothesis looks for."""
    monkeypatch.setenv("CI", "true")
    script = [sys.executable, "-c", TELL, ROOT / "tests" / "conftest.py"]
    told = subprocess.check_output(script, text=True).splitlines()
    assert told[0] == "quick, SKNET_TESTS_SEED=0 60 True"
    assert re.fullmatch(r"nightly, SKNET_TESTS_SEED=\d{8} 600 False", told[1])
    assert [re.sub(" .*", "", line.partition("=")[2]) for line in told[2:]] == ["7"] * 2
