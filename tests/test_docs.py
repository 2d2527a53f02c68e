"""The pages keep up with the code: names, paths, links and command lines in them exist, and their words are plain."""

from __future__ import annotations

import ast
import itertools
import re
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from tests.pages import PAGES, README, ROOT, every_page

from sparsenas.__main__ import COMMANDS, main
from sparsenas.job.lookup import TABLES
from sparsenas.methods import METHODS

SRC = ROOT / "src" / "sparsenas"


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not broken


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 100


@every_page
def test_paths_and_names_exist(page: Path) -> None:
    """``folder/``, ``file.py`` and ``file.py::Class.method``; also ``file.py`` at the beginning of a picture's line."""
    text = page.read_text(encoding="utf-8")
    pictures = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    named = [(path, "") for picture in pictures for path in re.findall(r"^ +([\w/]+\.py)\b", picture, re.MULTILINE)]
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    wrong = []
    for path, name in named + re.findall(r"`([\w./-]+?(?:\.(?:py|md|sh|svg|j2)|(?<!\.)/))(?:::([\w.]+))?`", text):
        found = next((base / path for base in (ROOT, SRC, page.parent) if (base / path).exists()), None)
        if path not in ("mynet.py", "mymethod.py", "mysearch.py", "net.py", "load.py") and (
            found is None or (name and name not in names(found))
        ):
            wrong.append(f"{path}::{name}" if name else path)
    assert not wrong


@cache
def names(path: Path) -> set[str]:
    """What a file defines at its top and in its classes."""

    def defined(body: list[ast.stmt], prefix: str) -> set[str]:
        found: set[str] = set()
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                found |= defined(node.body, f"{prefix}{node.name}.")
            if isinstance(node, ast.AnnAssign | ast.Assign):
                targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
                found |= {prefix + target.id for target in targets if isinstance(target, ast.Name)}
        return found

    return defined(ast.parse(path.read_text(encoding="utf-8")).body, "")


def section(title: str) -> str:
    """A section of the architecture page."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return page.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_architecture_page_has_every_recalibration() -> None:
    users = [path for path in SRC.rglob("*.py") if "sparsenas.nn.recalibration" in path.read_text(encoding="utf-8")]
    assert users
    for user in users:
        assert f"`{user.relative_to(SRC)}" in section("Where batch norm is recalibrated")


def test_the_architecture_page_has_the_budgets_of_every_method() -> None:
    assert not [name for name in METHODS if f"`{name}`" not in section("Where a budget applies")]


def test_the_architecture_page_has_every_stage() -> None:
    stages = [path.name for path in (SRC / "job" / "stages").glob("[a-z]*.py")]
    assert "search.py" in stages
    assert not [stage for stage in stages if f"job/stages/{stage}" not in section("The way of a run")]


@every_page
def test_dotted_names_exist(page: Path) -> None:
    """Names such as ``sparsenas.data.Data``."""
    for name in re.findall(r"`(sparsenas(?:\.\w+)+)(?:\(.*?\))?`", page.read_text(encoding="utf-8")):
        module, _, attribute = name.rpartition(".")
        assert attribute in dir(import_module(module)) or import_module(name)


def test_make_has_the_targets_that_pages_and_ci_name() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    named = {target for text in texts for target in re.findall(r"(?:`|^)make (\w+)", text, re.MULTILINE)}
    named |= set(re.findall(r"^make (\w+)", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test", "lint", "docs", "wheel", "bench"} <= named <= targets


def test_the_page_of_files_has_every_file_of_a_run() -> None:
    table = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    folders = (SRC / "rundir", SRC / "job", SRC / "reporting")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for folder in folders for path in folder.rglob("*.py")]
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    files = {
        text for text in texts if re.fullmatch(r"[a-z.]+\.(?:json|jsonl|pt|pt2|yaml|onnx|safetensors|html)", str(text))
    }
    assert {"best.json", "net.pt", "report.html"} <= files
    others = {"compare.html", "config.json"}  # of several runs, of a published network
    assert not [file for file in sorted(files - others) if f"`{file}`" not in table]


ODD_WORDS = {
    r"questions?|exams?": "choice, validation images",
    r"answers?|answered|answering": "pick, result",
    r"asks?(?!\()|asked|asking": "name the requirement",
    r"lands?|landed|landing": "meet the budget",
    r"forget\w*|forgot\w*": "prune, evict",
    r"borrow\w*": "shrink, share",
    r"shown": "printed, drawn, escaped",
    r"(?:came|comes?|coming) out|what (?:is|was|were|came|comes|has|had|did|must)": "name the thing",
    r"reads? \d[\d.]* %": "has an accuracy of",
    r"held[- ]out": "validation",
    r"learners?": "method",
    r"dear(?:er|est)?": "expensive, highest",
    r"pictures?": "image",
    r"mends?|mended|mending": "fix, correct",
    r"twins?|misfits?|skeletons?|tid(?:y|ied|ies|ying)": "clone, residual, canonical",
    r"hand(?:s|ed|ing)? over|handing-over": "export, return",
    r"disturbs? nobody|told apart|gives? way|paid for|begun": "say it plainly",
    r"as many \w+ as (?:it|they)|so many": "the number of",
    r"(?:images|steps|paths|bytes|seconds|milliseconds|ms|MB|cores|JPEGs|epochs) an? \w+": "per",
}
"""Words that nobody in the field uses for these things, and the words to use."""


def odd_words(text: str) -> list[str]:
    """The places with a word of ``ODD_WORDS``, each with the word to use."""
    return [
        f"{found.group()!r} in {text[max(0, found.start() - 40) : found.end() + 20]!r}: {better}"
        for odd, better in ODD_WORDS.items()
        for found in re.finditer(rf"\b(?:{odd})\b", text, re.IGNORECASE)
    ]


@every_page
def test_pages_use_the_words_of_the_field(page: Path) -> None:
    odd = odd_words(page.read_text(encoding="utf-8"))
    assert not odd, "\n".join(odd)


def helps() -> dict[str, list[str]]:
    """Command lines whose help has, all together, the flags of every command, space, data set and method."""
    plugins = itertools.zip_longest(*([(f"--{kind}", name) for name in table] for kind, table in TABLES.items()))
    lines = [[command] for command in COMMANDS] + [["run", *itertools.chain(*filter(None, some))] for some in plugins]
    return {" ".join(line): [*line, "--help-all" if line else "--help"] for line in [[], *lines]}


@pytest.mark.parametrize("line", helps().values(), ids=helps())
def test_help_uses_the_words_of_the_field(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "usage: sparsenas" in text
    odd = odd_words(text)
    assert not odd, "\n".join(odd)
