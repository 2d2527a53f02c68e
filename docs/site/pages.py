"""Pages of the site that are not in ``docs/``: those of other folders, and those that are made from the code.

A hook of MkDocs. Links are those of the repository, so that they work there; here they are turned into those of
the site.
"""

from __future__ import annotations

import posixpath
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from sparsenas.__main__ import COMMANDS
from sparsenas.job.flags.help import help_text
from sparsenas.job.lookup import TABLES

ROOT = Path(__file__).parent.parent.parent
OTHERS = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples/index.md",
    "experiments/README.md": "experiments/index.md",
    "benchmarks/README.md": "benchmarks/index.md",
    "benchmarks/rivals/README.md": "benchmarks/rivals/index.md",
    "benchmarks/zoo.md": "benchmarks/zoo.md",
    "benchmarks/dso_edges.svg": "benchmarks/dso_edges.svg",
}
"""Files of the repository outside ``docs/``, and where they are in the site."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    sources = {**OTHERS, **{f"experiments/{path.name}": f"experiments/{path.name}" for path in _experiments()}}
    sites = {**sources, **{f"docs/{file.src_uri}": file.src_uri for file in files}}
    for source, site in sources.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        content = relinked(text, source, site, sites) if site.endswith(".md") else text
        files.append(File.generated(config, site, content=content))
    for name in COMMANDS:
        files.append(File.generated(config, f"commands/{name}.md", content=command_page(name)))
    files.append(File.generated(config, "commands/index.md", content=index_of_commands()))
    files.append(File.generated(config, "commands/names.md", content=names_page()))
    config["sites"] = sites
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Turns the links of a page of ``docs/`` that lead out of it."""
    source = f"docs/{page.file.src_uri}"
    return relinked(markdown, source, page.file.src_uri, config["sites"]) if (ROOT / source).exists() else markdown


def relinked(text: str, source: str, site: str, sites: dict[str, str]) -> str:
    """The text with links between pages of the site; a link to another file of the repository is its text alone."""

    def link(found: re.Match[str]) -> str:
        shown, target, anchor = found.groups("")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if "://" in target or not target or not (ROOT / path).exists():
            return found.group()
        if path not in sites:
            return shown
        return f"[{shown}]({posixpath.relpath(sites[path], posixpath.dirname(site) or '.')}{anchor})"

    return re.sub(r"\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)", link, text)


def command_page(name: str) -> str:
    """A command and all its flags, with those of its default space, data set and method."""
    command = getattr(import_module(f"sparsenas.commands.{name}"), name)
    return f"# sparsenas {name}\n\n{_flags(help_text(command, []))}"


def index_of_commands() -> str:
    """The commands in a table, and their flags on pages of their own."""
    rows = [f"| [{name}]({name}.md) | {summary} |" for name, summary in COMMANDS.items()]
    return "\n".join(["# Commands", "", INTRODUCTION, "", "| command | |", "|---|---|", *rows, ""])


INTRODUCTION = """Made from the code, as `sparsenas COMMAND --help-all` is. Flags of a space, a data set, an objective
or a method depend on which it is: [their pages](names.md). `--config FILE` reads flags from YAML."""


def names_page() -> str:
    """Every built-in space, data set, objective and method with its flags."""
    command = import_module("sparsenas.commands.run").run
    parts = ["# Spaces, data, objectives, methods", ""]
    for kind, table in TABLES.items():
        parts += [f"## --{kind}", ""]
        for name in table:
            section = _section(help_text(command, [f"--{kind}", name]), kind, name)
            parts += [f"### {name}", "", _flags(section) if section else "It has no flags of its own.", ""]
    return "\n".join(parts)


def _section(text: str, kind: str, name: str) -> str:
    """The lines of a help text about one space, data set, objective or method."""
    found = re.search(rf"^{kind} {re.escape(name)}: (.*?)(?=^\S+ ?\S*: |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def _flags(text: str) -> str:
    """Help as Markdown: each flag in a row of a table."""
    lines, rows = [], False
    for line in text.replace("|", "\\|").splitlines():
        if line.startswith("      ") and rows:
            lines[-1] = f"{lines[-1].removesuffix(' |')} {_plain(line.strip())} |"
        elif line.startswith("  -") or re.fullmatch(r"  [A-Z]+", line):
            lines += [] if rows else ["", "| flag | |", "|---|---|"]
            lines.append(f"| `{line.strip()}` | |")
            rows = True
        else:
            title = re.match(r"([a-z]+(?: [\w:]+)?): ", line) if rows or line.endswith(":") else None
            lines += ["", f"**{title.group(1)}**: {_plain(line[title.end() :])}"] if title else [_plain(line)]
            rows = False
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text in which Markdown finds nothing to format."""
    return re.sub(r"([*_<\[\]])", r"\\\1", text)


def _experiments() -> list[Path]:
    return [path for path in sorted((ROOT / "experiments").glob("*.md")) if path.name != "README.md"]
