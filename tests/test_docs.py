"""The pages keep up with the code: names, paths, links and command lines in them exist, and their words are plain."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import shlex
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import sparsenas
from opening_nets import small
from sparsenas.__main__ import COMMANDS, main
from sparsenas.job.flags.parse import parse
from sparsenas.job.lookup import TABLES
from sparsenas.job.plugin import Plugin
from sparsenas.methods import METHODS
from sparsenas.testing import check_space

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "sparsenas"
README = ROOT / "README.md"
PAGES = sorted(path for folder in (".", "docs", "experiments", "benchmarks") for path in (ROOT / folder).glob("*.md"))
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not broken


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
        if path not in ("mynet.py", "mymethod.py", "net.py") and (found is None or (name and name not in names(found))):
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
    assert {"demo", "test", "lint", "bench"} <= named <= targets


@every_page
def test_command_lines_parse(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module, text in {"mynet": own_network(), "mymethod": first_block(ROOT / "docs" / "methods.md")}.items():
        (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "experiments")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sparsenas.job.flags.parse.space_of_run", lambda run, trusted: "tiny")  # there is no such run
    commands = command_lines(page.read_text(encoding="utf-8"))
    for name, *flags in commands:
        command = vars(import_module(f"sparsenas.commands.{name}"))[name]
        if "--help" not in flags:
            parse(command, [flag for flag in flags if flag != "--resume"])
    assert len(commands) >= 10 or page != README


def test_the_network_in_the_readme_is_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mynet.py").write_text(own_network(), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mynet", raising=False)
    own = Plugin("mynet:make").build("space")
    check_space(lambda: own, (1, 8, 8), archs=18)


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "python.md"], ids=["README", "python"])
def test_examples_in_python_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page one after another, in an empty folder; those that only a finished run fits are bound."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    scope = dict[str, Any](sparsenas=sparsenas, net=small(), example=torch.zeros(2, 1, 8, 8))
    scope["data"] = torch.randn(60, 1, 8, 8), torch.arange(60) % 10
    for block in (block for block in blocks if "sparsenas." in block and "def make" not in block):
        tree = ast.parse(block)
        if "retrain(smaller" in block:
            _bind(tree, scope)
            continue
        exec(compile(quickened(tree), str(page), "exec"), scope)
    assert scope["found"].costs


def quickened(tree: ast.Module) -> ast.Module:
    """A run of the page with few baselines and candidates."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) == "sparsenas.run":
            quick = "run(baselines=1, threads=1, search={'epochs': 1}, method={'name': 'spos', 'generations': 0})"
            call.keywords += ast.parse(quick, mode="eval").body.keywords  # type: ignore[attr-defined]
    return tree


def _bind(tree: ast.Module, scope: dict[str, Any]) -> None:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        names = [str(word.arg) for word in call.keywords]
        inspect.signature(eval(ast.unparse(call.func), scope)).bind(*call.args, **dict.fromkeys(names))


def test_the_readme_has_every_file_of_a_run() -> None:
    table = README.read_text(encoding="utf-8").partition("## Files of a run")[2]
    folders = (SRC / "rundir", SRC / "job", SRC / "reporting")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for folder in folders for path in folder.rglob("*.py")]
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    kinds = "json|jsonl|pt|pt2|yaml|onnx|safetensors|html"
    files = {text for text in texts if re.fullmatch(rf"[a-z.]+\.(?:{kinds})", str(text))}
    assert {"best.json", "net.pt", "report.html"} <= files
    assert not [file for file in sorted(files) if f"`{file}`" not in table]


def own_network() -> str:
    """The module ``mynet.py`` in the README."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if "def make" in block)


def first_block(page: Path) -> str:
    """The first Python code of a page."""
    return page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


def command_lines(text: str) -> list[list[str]]:
    """The words of every ``sparsenas COMMAND ...`` in code, with numbers for the shell's variables."""
    code = " ".join(re.findall(r"```.*?```|`sparsenas [a-z]+ [^`\n]*`", text, re.DOTALL)).replace("\\\n", " ")
    lines = re.findall(r"(?:^|`|-m )\s*sparsenas ([a-z]+ [^`\n]*)", code, re.MULTILINE)
    return [shlex.split(re.sub(r"\$\w+", "0", line), comments=True) for line in lines]


ODD_WORDS = {
    r"questions?|exams?": "choice, validation images",
    r"answers?|answered|answering": "pick, result",
    r"asks?|asked|asking": "name the requirement",
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
    return {" ".join(line): [*line, "--help"] for line in [[], *lines]}


@pytest.mark.parametrize("line", helps().values(), ids=helps())
def test_help_uses_the_words_of_the_field(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "usage: sparsenas" in text
    odd = odd_words(text)
    assert not odd, "\n".join(odd)
