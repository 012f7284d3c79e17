"""A newcomer's path: install, first fit, first plot, first search, pasted from a page.

The commit's files are cloned into a temporary folder. There the page's first command is
run as it stands, with no cache of pip's, and then its Python blocks one after the other
in one new process, as a reader would paste them. What a block prints must be what the
page shows. Only the standard library is needed here.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

# what pastes: says after each block that it is done, and how long it took
READER = """
import contextlib, io, json, sys, time
names = {"__name__": "__main__"}
for source in json.loads(sys.stdin.readline()):
    printed, started = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(printed):
        exec(source, names)
    print(json.dumps([time.perf_counter() - started, printed.getvalue()]))
"""


class Block(NamedTuple):
    """A fenced block, the heading above it, and what the page says it prints."""

    heading: str
    language: str
    text: str
    shown: str


def blocks_of(page):
    """The page's blocks of commands and of Python, in order."""
    found = re.findall(r"^#+ ([^\n]+)$|^```(\w+)\n(.*?)^```$", page, re.M | re.S)
    blocks, heading = [], ""
    for title, language, text in found:
        heading = title or heading
        if language == "text":
            blocks[-1] = blocks[-1]._replace(shown=text)
        elif language in ("bash", "python"):
            blocks.append(Block(heading, language, text, ""))
    return blocks


def install(command, tree):
    """Seconds of the page's command in a fresh clone, with nothing cached."""
    clone = ["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(tree)]
    subprocess.run(clone, check=True)
    started = time.perf_counter()
    subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=tree,
        env=without_python() | {"PIP_NO_CACHE_DIR": "1"},
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def without_python():
    """The environment, without what would lead to packages of someone else."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}


def paste(blocks, tree):
    """Seconds of each block, and of the start of the interpreter before them."""
    started = time.perf_counter()
    answer = subprocess.run(
        [".venv/bin/python", "-c", READER],
        cwd=tree,
        env=without_python(),
        input=json.dumps([block.text for block in blocks]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    total = time.perf_counter() - started
    results = [json.loads(line) for line in answer.stdout.splitlines()]
    for block, (_, printed) in zip(blocks, results, strict=True):
        if printed != block.shown:
            raise SystemExit(f"{block.heading}: {printed!r} is not {block.shown!r}")
    seconds = [result[0] for result in results]
    return [total - sum(seconds), *seconds]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--page", default="docs/index.md")
    page = parser.parse_args().page
    blocks = blocks_of((ROOT / page).read_text(encoding="utf-8"))
    commands = [block for block in blocks if block.language == "bash"]
    code = [block for block in blocks if block.language == "python"]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "sknet"
        steps = {commands[0].heading: install(commands[0].text, tree)}
        start, *seconds = paste(code, tree)
    steps["Start of Python"] = start
    for block, took in zip(code, seconds, strict=True):
        steps[block.heading] = steps.get(block.heading, 0) + took
    print(f"{page}, Python {platform.python_version()}, {os.cpu_count()} cores\n")
    print("| | seconds |\n|---|---|")
    for name, took in steps.items():
        print(f"| {name} | {took:.1f} |")
    print(f"| together | {sum(steps.values()):.1f} |")


if __name__ == "__main__":
    main()
