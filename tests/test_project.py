"""The house rules: README, layers, lengths, docstrings, imports, version and paths."""

import ast
import contextlib
import doctest
import importlib
import importlib.util
import inspect
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from packaging.version import Version
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

import sknet
from sknet import LossCurveDisplay, TwoLayerClassifier

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "sknet").rglob("*.py"))
VENV = "python3 -m venv .venv && "

# lowest first: a module may import from the sets before its own, and from no other
LAYERS = [
    {
        "_activations",
        "_losses",
        "_monitor",
        "_optimizers",
        "_schedules",
        "_standardizer",
        "_version",
    },
    {"_network"},
    {"_training"},
    {"_prediction"},
    {"_crossfit"},
    {"_callbacks", "_columns", "_objects", "_reporting", "_threads", "_validation"},
    {"_rows"},
    {"_preparation", "_publishing", "_session"},
    {"_fitting"},
    {"_documentation", "_persistence", "_probabilities"},
    {"_classifier", "_plot"},
    {"__init__", "onnx"},
]
MAY_IMPORT_SKLEARN = {"onnx"}.union(*LAYERS[5:11])

LONGEST_MODULE = 500  # lines of all kinds
LONGEST_FUNCTION = 50  # lines of code in the body
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

PUBLIC_CLASSES = [LossCurveDisplay, TwoLayerClassifier]

# a path that only one machine has: a home directory, a scratch directory, a drive
PRIVATE_PATH = re.compile(
    r"(?<![\w./-])/(?:home|Users|root|work|tmp|mnt)/\w|\b[A-Za-z]:\\Users\\"
)


def read(path):
    return Path(path).read_text(encoding="utf-8")


# README


class Block(NamedTuple):
    """A fenced block of a Markdown page."""

    language: str | None
    line: int  # of the fence
    text: str
    needs: tuple[str, ...] = ()  # packages, from a comment in the line above


NEEDS = re.compile(r"<!-- needs ([\w.]+(?:, [\w.]+)*) -->")


def blocks_of(path):
    """Fenced blocks of a Markdown page."""
    language, needs, found = None, (), []
    for number, line in enumerate(read(path).splitlines(keepends=True), start=1):
        if language is None and line.startswith("```"):
            language, start, content = line[3:].strip(), number, []
        elif language is not None and line.rstrip() == "```":
            found.append(Block(language, start, "".join(content), needs))
            language, needs = None, ()
        elif language is not None:
            content.append(line)
        else:
            mark = NEEDS.fullmatch(line.strip())
            needs = tuple(mark[1].split(", ")) if mark else ()
    assert language is None, f"{path.name}: the block of line {start} has no end"
    return found


def readme_blocks(language):
    """Contents of README's fenced blocks in one language, in order."""
    return texts_of(ROOT / "README.md", language)


def texts_of(path, language):
    return [block.text for block in blocks_of(path) if block.language == language]


@pytest.mark.parametrize("number", [0, 1], ids=["quickstart", "tests"])
def test_readme_command_is_one_line_from_an_empty_environment(number):
    blocks = readme_blocks("bash")
    assert len(blocks) == 2, "README should have two bash blocks, one command in each"
    lines = blocks[number].splitlines()
    assert len(lines) == 1, f"one command, one line; got {lines}"
    assert lines[0].startswith(VENV), f"{lines[0]!r} should start with {VENV!r}"


def test_readme_runs_a_script_that_exists():
    script = readme_blocks("bash")[0].split()[-1]
    assert (ROOT / script).is_file(), f"README runs {script}, which does not exist"


def test_ci_runs_the_test_command_of_the_readme():
    answer = subprocess.run(
        [shutil.which("bash"), ".ci/run", "--print-command"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == readme_blocks("bash")[1]
    assert "--cov" not in read(ROOT / ".ci" / "run"), (
        ".ci/run should take the test command from README, not hold a copy of it"
    )


def test_readme_links_to_the_documentation():
    links = re.findall(r"\]\((docs/[\w/]+\.md)", read(ROOT / "README.md"))
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    of_the_site = {"docs/api.md", "docs/benchmarks.md", "docs/index.md"}
    assert set(links) == pages - of_the_site | {"docs/guide/index.md"}


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PAGES += sorted((ROOT / "docs" / "guide").glob("*.md"))
PAGES.append(ROOT / "benchmarks" / "README.md")
PAGES_WITH_CODE = [page for page in PAGES if texts_of(page, "python")]


def test_pages_with_code_are_found():
    names = {str(page.relative_to(ROOT)) for page in PAGES_WITH_CODE}
    assert {"README.md", "docs/index.md", "docs/from_the_tutorial.md"} < names
    guide = {f"docs/guide/{path.name}" for path in (ROOT / "docs/guide").glob("*.md")}
    assert guide - names == {"docs/guide/index.md"}


# what SHAP asks of matplotlib as it is imported
@pytest.mark.filterwarnings(
    "ignore:The set_(bad|over|under) function:PendingDeprecationWarning"
)
@pytest.mark.parametrize(
    "page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT))
)
def test_page_prints_what_it_shows(page, tmp_path, monkeypatch):
    # blocks share their names, as if pasted one after the other; what a block prints is
    # the text block after it, and a block without one prints nothing
    monkeypatch.chdir(tmp_path)
    blocks, names, missing = blocks_of(page), {"__name__": "page"}, set()
    for block, following in itertools.pairwise([*blocks, Block(None, 0, "")]):
        if block.language != "python":
            continue
        absent = {name for name in block.needs if not is_installed(name)}
        if absent:
            missing |= absent
            continue
        expected = following.text if following.language == "text" else ""
        printed = io.StringIO()
        source = compile("\n" * block.line + block.text, str(page), "exec")
        with threadpool_limits(1), contextlib.redirect_stdout(printed):
            exec(source, names)
        assert printed.getvalue() == expected, f"{page.name}, line {block.line}"
    plt.close("all")
    if missing:  # all other blocks have been run
        pytest.skip(f"{page.name} has blocks that need {', '.join(sorted(missing))}")


def is_installed(name):
    """Whether a package is there; "sklearn.callback" and its like are looked into."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_blocks_need_what_an_extra_installs():
    extras = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    extras = extras["optional-dependencies"]
    names = {re.match(r"[\w-]+", line)[0] for line in extras["neighbours"]}
    of_package = {"imblearn": "imbalanced-learn", "dask_ml": "dask-ml"}
    needed = {
        name for page in PAGES for block in blocks_of(page) for name in block.needs
    }
    needed -= {"sklearn.callback"}
    assert needed and {of_package.get(name, name) for name in needed} <= names


def test_front_page_installs_as_the_readme_does():
    (command,) = texts_of(ROOT / "docs/index.md", "bash")
    assert readme_blocks("bash")[0].startswith(command.rstrip("\n"))


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_a_newcomer_can_paste_a_fit_a_plot_and_a_search(page):
    code = "".join(texts_of(ROOT / page, "python"))
    parts = (".fit(X", "LossCurveDisplay.from_estimator(clf)", "GridSearchCV(clf")
    places = [code.find(part) for part in parts]
    assert -1 not in places and places == sorted(places)


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_newcomers_benchmark_pastes_what_the_page_has(page):
    path = ROOT / "benchmarks" / "newcomer.py"
    spec = importlib.util.spec_from_file_location("newcomer", path)
    newcomer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(newcomer)
    found = newcomer.blocks_of(read(ROOT / page))
    for language in ("bash", "python"):
        pasted = [block.text for block in found if block.language == language]
        assert pasted == texts_of(ROOT / page, language)
    assert [block.shown for block in found if block.shown] == texts_of(
        ROOT / page, "text"
    )


def test_readme_builds_the_site_as_ci_and_contributing_do():
    (line,) = readme_blocks("sh")
    command = line.strip().partition(" && ")[2].removeprefix(".venv/bin/")
    assert command.startswith("python -m sphinx -W")
    for path in (".github/workflows/ci.yml", "docs/CONTRIBUTING.md"):
        assert command in read(ROOT / path), f"{path} builds it in another way"


def test_settings_page_has_every_setting_and_its_default():
    text = read(ROOT / "docs" / "guide" / "settings.md")
    rows = re.findall(r"^\| (`[a-z_0-9`, ]+`) \| ([^|]+) \|", text, re.M)
    listed = {}
    for names, defaults in rows:
        names = re.findall(r"`(\w+)`", names)
        values = re.sub(r"`|:.*", "", defaults).strip().split(", ")
        listed |= dict(zip(names, map(ast.literal_eval, values), strict=True))
    signature = inspect.signature(TwoLayerClassifier).parameters.values()
    assert listed == {setting.name: setting.default for setting in signature}


def test_page_for_users_of_mlpclassifier_names_all_that_both_have():
    text = read(ROOT / "docs" / "from_mlpclassifier.md")
    rows = re.findall(r"^\| (.+?) \| (.+?) \| ", text, re.M)
    rows = [(a, a if b.startswith("the same") else b) for a, b in rows]
    theirs, ours = (
        set(re.findall(r"\w+", " ".join(cells))) for cells in zip(*rows, strict=True)
    )
    assert set(inspect.signature(MLPClassifier).parameters) <= theirs
    assert set(inspect.signature(TwoLayerClassifier).parameters) <= ours
    defaults = dict(re.findall(r"`(\w+)=([^`]+)`", " ".join(row[0] for row in rows)))
    for name, default in defaults.items():
        actual = inspect.signature(MLPClassifier).parameters[name].default
        assert ast.literal_eval(default) == actual, f"MLPClassifier's {name}"


def test_the_comparison_names_tests_that_exist():
    text = read(ROOT / "docs" / "comparison.md")
    _, others, ours = re.split(r"^\|---.*\n", text, flags=re.M)
    others = others.partition("\n\n")[0]
    features = [re.findall(r"^\| (.+?) \|", table, re.M) for table in (others, ours)]
    assert features[0] == features[1], "each row should say where ours is shown"
    tried = read(ROOT / "tests" / "test_comparison.py")
    for row in others.strip().splitlines():
        feature, _, *cells = row.strip("| ").split(" | ")
        linked = all("](https://" in cell for cell in cells)
        test = f"\ndef test_{feature.replace(' ', '_')}("
        assert linked or test in tried, f"no test tries the others' {feature}"
    for row in ours.strip().splitlines():
        named = re.findall(r"`(tests/\w+\.py)::(\w+)`", row)
        assert named, row
        for path, name in named:
            assert f"\ndef {name}(" in read(ROOT / path), f"{path} has no {name}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", read(path))
    missing = [link for link in links if not (path.parent / link).is_file()]
    assert not missing, f"{path.name} links to files that do not exist: {missing}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_has_a_placeholder(path):
    found = re.findall(r"^[A-Z]{3,}$|TO[D]O|FIX[M]E", read(path), re.M)
    assert not found, f"{path.name} is not finished: {found}"


# layers


def imports_of(path, *, when_loaded=False):
    """Names that a module imports, as dotted paths: anywhere, or as it is loaded."""
    tree = ast.parse(read(path))
    for node in tree.body if when_loaded else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module):
    """Place of a module's set in LAYERS."""
    places = [i for i, layer in enumerate(LAYERS) if module in layer]
    assert len(places) == 1, f"{module} should stand in exactly one layer, not {places}"
    return places[0]


def test_every_module_has_one_layer():
    assert {path.stem for path in MODULES} == set().union(*LAYERS)
    assert sum(map(len, LAYERS)) == len(MODULES)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_imports_only_from_lower_layers(path):
    own = layer_of(path.stem)
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "sknet":
            assert layer_of(parts[1]) < own, (
                f"{path.stem} imports {parts[1]}, which is not in a layer below it"
            )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_scikit_learn_is_imported_only_at_the_edges(path):
    packages = {name.split(".")[0] for name in imports_of(path)}
    assert path.stem in MAY_IMPORT_SKLEARN or "sklearn" not in packages, (
        f"{path.stem} is numeric and should not import scikit-learn"
    )


def test_display_needs_nothing_of_the_package():
    (path,) = [path for path in MODULES if path.stem == "_plot"]
    assert "sknet" not in {name.split(".")[0] for name in imports_of(path)}


# lengths


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_is_not_too_long(path):
    n_lines = len(read(path).splitlines())
    assert n_lines <= LONGEST_MODULE, f"{path.name} has {n_lines} lines"


def code_lines(function, source):
    """Lines of a function's body without its docstring, comments and blank lines."""
    lines = set(range(function.body[0].lineno, function.end_lineno + 1))
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= set(range(docstring.lineno, docstring.end_lineno + 1))
    texts = (source[number - 1].strip() for number in lines)
    return sum(bool(text) and not text.startswith("#") for text in texts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_functions_are_not_too_long(path):
    source = read(path).splitlines()
    lengths = {
        f"{node.name} (line {node.lineno})": code_lines(node, source)
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    too_long = {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION}
    assert not too_long, f"lines of code in {path.name}: {too_long}"


# docstrings


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
            assert (type(documented), documented) == (type(actual), actual), (
                f"{name}: default={default} in the docstring, {actual!r} in __init__"
            )


@pytest.mark.parametrize("name", sorted(public_methods()))
def test_method_documents_its_parameters_and_its_result(name):
    method = public_methods()[name]
    parameters = [p for p in inspect.signature(method).parameters if p != "self"]
    assert documented_names(method, "Parameters") == parameters
    assert section(method, "Returns"), f"{name} has no Returns section"


def test_fitted_attributes_are_those_in_the_docstring():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 3)), columns=[*"abc"])
    clf = TwoLayerClassifier(early_stopping=True, random_state=0)
    clf.fit(X, X["a"] > 0)
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


def examples_in(path):
    """Docstrings of a module, its classes and functions that hold an example."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef
    nodes = (
        node for node in ast.walk(ast.parse(read(path))) if isinstance(node, documented)
    )
    docstrings = (ast.get_docstring(node) or "" for node in nodes)
    return {docstring for docstring in docstrings if ">>>" in docstring}


def test_every_example_is_run():
    # doctest leaves out what says that it comes from another module
    written = set().union(*map(examples_in, MODULES))
    names = (f"sknet.{path.stem}".removesuffix(".__init__") for path in MODULES)
    found = {
        inspect.cleandoc(test.docstring)
        for name in names
        for test in doctest.DocTestFinder().find(importlib.import_module(name))
        if test.examples
    }
    assert len(written) >= 2
    assert found == written, (
        f"no doctest runs {[text[:40] for text in written - found]}"
    )


# the package as a whole


def packages_loaded_by(statement):
    """Top-level names in ``sys.modules`` of a fresh interpreter after a statement."""
    answer = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in answer.stdout.split()}


@pytest.mark.parametrize("statement", ["import sknet", "import sknet.onnx"])
def test_import_loads_no_optional_package(statement):
    # scikit-learn loads pandas by itself where that is installed
    added = packages_loaded_by(statement) - packages_loaded_by("import sklearn.base")
    assert "sknet" in added
    assert not added & OPTIONAL, f"{statement} loads {added & OPTIONAL}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_is_loaded_with_the_dependencies_alone(path):
    dependencies = {"numpy", "scipy", "sklearn", "threadpoolctl"}
    known = {*sys.stdlib_module_names, *dependencies, "sknet"}
    packages = {name.split(".")[0] for name in imports_of(path, when_loaded=True)}
    assert packages <= known, f"{path.stem} needs {packages - known} to be loaded"


def test_version_is_a_release_of_the_changelog():
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
        if not path.is_file():
            continue  # deleted, but not yet committed
        content = path.read_bytes()
        if b"\0" in content:
            continue  # not a text
        for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
            found += [f"{name}:{number}: {line}"] if PRIVATE_PATH.search(line) else []
    assert not found, "paths of one machine:\n" + "\n".join(found)


def test_what_pages_place_in_a_module_is_there():
    text = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    places = re.findall(r"`(\w+)[\w.]*` in `sknet/(\w+)\.py`", text)
    assert len(places) > 10
    for name, module in places:
        found = getattr(importlib.import_module(f"sknet.{module}"), name)
        # not only imported there
        assert getattr(found, "__module__", f"sknet.{module}") == f"sknet.{module}"
