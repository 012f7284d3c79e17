"""README and the pages of the site: their commands, code, tables and links."""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import io
import itertools
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import pytest
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from sknet import TwoLayerClassifier

ROOT = Path(__file__).resolve().parents[2]
VENV = "python3 -m venv .venv && "
NEEDS = re.compile(r"<!-- needs ([\w.]+(?:, [\w.]+)*) -->")


def read(path):
    return Path(path).read_text(encoding="utf-8")


class Block(NamedTuple):
    """A fenced block of a Markdown page."""

    language: str | None
    line: int  # of the fence
    text: str
    needs: tuple[str, ...] = ()  # packages, from a comment in the line above


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


def texts_of(path, language):
    return [block.text for block in blocks_of(path) if block.language == language]


def readme_blocks(language):
    return texts_of(ROOT / "README.md", language)


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PAGES += sorted((ROOT / "docs" / "guide").glob("*.md"))
PAGES.append(ROOT / "benchmarks" / "README.md")
PAGES_WITH_CODE = [page for page in PAGES if texts_of(page, "python")]
each_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)


# --- commands


@pytest.mark.parametrize("number", [0, 1], ids=["quickstart", "tests"])
def test_a_command_of_the_readme_is_one_line_from_an_empty_environment(number):
    blocks = readme_blocks("bash")
    assert len(blocks) == 2, "README should have two bash blocks, one command in each"
    (line,) = blocks[number].splitlines()
    assert line.startswith(VENV), f"{line!r} should start with {VENV!r}"


def test_the_readme_runs_a_script_that_exists():
    assert (ROOT / readme_blocks("bash")[0].split()[-1]).is_file()


def test_ci_runs_the_test_command_of_the_readme():
    answer = subprocess.run(
        [shutil.which("bash"), ".ci/run", "--print-command"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == readme_blocks("bash")[1]
    assert "--cov" not in read(ROOT / ".ci" / "run"), "it holds a copy of the command"


def test_what_ci_runs_exists():
    for script in (".ci/run", ".ci/neighbours", ".github/workflows/ci.yml"):
        for path in re.findall(r"\b(?:tests|docs)/[\w/]+\.py\b", read(ROOT / script)):
            assert (ROOT / path).is_file(), f"{script} runs {path}"


def test_the_readme_builds_the_site_as_ci_and_contributing_do():
    (line,) = readme_blocks("sh")
    command = line.strip().partition(" && ")[2].removeprefix(".venv/bin/")
    assert command.startswith("python -m sphinx -W")
    for path in (".github/workflows/ci.yml", "docs/CONTRIBUTING.md"):
        assert command in read(ROOT / path), f"{path} builds it in another way"


# --- code


def is_installed(name):
    """Whether a package is there; submodules such as sklearn.callback are looked up."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def agree(printed, shown):
    """Whether two texts agree, up to two units in the last place of a decimal number.

    Other processors and BLAS libraries round differently.
    """
    decimal = re.compile(r"\d+\.(\d+)")

    def form(text):
        return decimal.sub(lambda number: "0" * len(number[1]), text)

    if form(printed) != form(shown):
        return False
    pairs = zip(decimal.finditer(printed), decimal.finditer(shown), strict=True)
    return all(
        abs(float(a[0]) - float(b[0])) <= 2.5 * 10.0 ** -len(b[1]) for a, b in pairs
    )


# what SHAP asks of matplotlib when it is imported
@pytest.mark.filterwarnings(
    "ignore:The set_(bad|over|under) function:PendingDeprecationWarning"
)
@pytest.mark.parametrize(
    "page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_page_prints_what_it_shows(page, tmp_path, monkeypatch):
    """The blocks of a page share their names, as if pasted one after the other.

    What a block prints is the text block after it. A block without one prints nothing.
    """
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
        assert agree(printed.getvalue(), expected), printed.getvalue()
    plt.close("all")
    if missing:  # all other blocks have been run
        pytest.skip(f"{page.name} has blocks that need {', '.join(sorted(missing))}")


def test_blocks_need_what_an_extra_installs():
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    extra = project["optional-dependencies"]["neighbours"]
    names = {re.match(r"[\w-]+", line)[0] for line in extra}
    distributions = {"imblearn": "imbalanced-learn", "dask_ml": "dask-ml"}
    needed = {
        name for page in PAGES for block in blocks_of(page) for name in block.needs
    }
    needed -= {"sklearn.callback"}
    assert needed and {distributions.get(name, name) for name in needed} <= names


# --- tables


def test_the_settings_page_has_every_setting_and_its_default():
    text = read(ROOT / "docs" / "guide" / "settings.md")
    rows = re.findall(r"^\| (`[a-z_0-9`, ]+`) \| ([^|]+) \|", text, re.M)
    listed = {}
    for names, defaults in rows:
        names = re.findall(r"`(\w+)`", names)
        values = re.sub(r"`|:.*", "", defaults).strip().split(", ")
        listed |= dict(zip(names, map(ast.literal_eval, values), strict=True))
    signature = inspect.signature(TwoLayerClassifier).parameters.values()
    assert listed == {setting.name: setting.default for setting in signature}


def test_the_page_for_users_of_mlpclassifier_names_all_that_both_have():
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


# --- links and names


@each_page
def test_links_pictures_and_named_tests_exist(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", read(page))
    missing = [link for link in links if not (page.parent / link).is_file()]
    for path, name in re.findall(r"\b(tests/[\w/]+\.py)(?:::(\w+))?", read(page)):
        file = ROOT / path
        if not file.is_file() or (name and f"\ndef {name}(" not in read(file)):
            missing.append(f"{path}::{name}")
    assert not missing, f"{page.name} leads to what does not exist: {missing}"


@each_page
def test_no_page_has_a_placeholder(page):
    found = re.findall(r"^[A-Z]{3,}$|TO[D]O|FIX[M]E", read(page), re.M)
    assert not found, f"{page.name} is not finished: {found}"
