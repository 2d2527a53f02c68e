"""The pages of the repository, and the blocks of code in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FOLDERS = (".", "docs", "docs/start", "docs/papers", "examples", "experiments", "benchmarks", "benchmarks/rivals")
PAGES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str = r"\w*") -> list[str]:
    """The blocks of code of a page, of any language or of one; \"\" is a block without a language."""
    text = page.read_text(encoding="utf-8")
    return [code for kind, code in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL) if re.fullmatch(language, kind)]


def own_network() -> str:
    """The module ``mynet.py`` of a page."""
    return next(block for block in blocks(ROOT / "docs" / "space.md", "python") if "def make" in block)


def own_method() -> str:
    """The module ``mymethod.py`` of a page."""
    return blocks(ROOT / "docs" / "methods.md", "python")[0]


def own_search() -> str:
    """The module ``mysearch.py`` of a page."""
    return blocks(ROOT / "docs" / "methods.md", "python")[1]


def own_data() -> str:
    """The module ``mydata.py`` of a page."""
    return next(block for block in blocks(ROOT / "docs" / "data.md", "python") if "def make" in block)


def command_lines(text: str) -> list[list[str]]:
    """The words of every ``sparsenas COMMAND ...`` in code; the shell's variables are the first of a loop, or 0."""
    code = " ".join(re.findall(r"```.*?```|`sparsenas [a-z]+ [^`\n]*`", text, re.DOTALL)).replace("\\\n", " ")
    loops = dict(re.findall(r"\bfor (\w+) in (\w+)", code))
    lines = re.findall(r"(?:^|`|-m )\s*sparsenas ([a-z]+ [^`\n]*)", code, re.MULTILINE)
    variable = re.compile(r"\$(\w+)")
    return [shlex.split(variable.sub(lambda found: loops.get(found[1], "0"), line), comments=True) for line in lines]
