"""The rules of the code: who may import whom, how large things may get, and a few habits.

The packages, their order and their rules are read from the table in ``docs/architecture.md``.
"""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
FILES = sorted(SRC.rglob("*.py"))
MOST_PACKAGES = 22
MOST_LINES_OF_A_FILE, MEDIAN_LINES_OF_A_FILE = 300, 120
MOST_LINES_OF_A_FUNCTION, MEDIAN_LINES_OF_A_FUNCTION = 40, 8
MOST_LINES_OF_THE_REPORT = 2720
MOST_OWN_CLASSES_DEEP = 2


def packages() -> dict[str, str]:
    """The packages in the order of ``docs/architecture.md`` with their rules; ``__init__`` is the package itself."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Packages and their rules")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)(?:/|\.py)` \| (.+) \|$", table, re.MULTILINE))


PACKAGES = packages()
LAYER_OF = {name: number for number, name in enumerate(PACKAGES)}


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {module_name(path): ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in FILES}
every_module = pytest.mark.parametrize("name", TREES)


def package(name: str) -> str:
    """The package of a module: ``costs`` for ``sparsenas.costs.table``."""
    return name.partition(".")[2].partition(".")[0] or "__init__"


def imports(name: str) -> Iterator[str]:
    """The modules of this package that a module imports, wherever in it the import stands."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import in line {node.lineno}"
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            submodules = [module for module in below if module in TREES]
            found = submodules if len(submodules) == len(below) else [str(node.module), *submodules]
        else:
            continue
        yield from (module for module in found if module in TREES)


def test_the_table_has_every_package() -> None:
    there = {
        path.stem for path in (SRC / "sparsenas").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there == set(PACKAGES)
    assert len(there) <= MOST_PACKAGES


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_begins_with_its_rule(name: str) -> None:
    module = "sparsenas" if name == "__init__" else f"sparsenas.{name}"
    docstring = ast.get_docstring(TREES[module]) or ""
    assert docstring.partition("\n")[0] == PACKAGES[name], f"{module}: docs/architecture.md has another rule"


@every_module
def test_imports_go_up_the_table(name: str) -> None:
    below = {imported for imported in imports(name) if LAYER_OF[package(imported)] > LAYER_OF[package(name)]}
    assert not below, f"{name} imports from packages below its own in docs/architecture.md: {sorted(below)}"


@every_module
def test_nothing_above_job_knows_the_command_line(name: str) -> None:
    if LAYER_OF[package(name)] < LAYER_OF["job"]:
        source = ast.unparse(TREES[name])
        assert not re.search(r"\b(jsonargparse|argparse|argv)\b", source), (
            f"{name}: the command line is known from job/ on"
        )


def test_every_module_imports_where_posix_is_missing() -> None:
    """As on Windows, which has none of these."""
    program = f"""
import importlib, os, sys
sys.modules.update(dict.fromkeys(("resource", "fcntl", "pwd")))
del os.O_NOFOLLOW
for name in {[name for name in TREES if not name.endswith("__main__")]}:
    importlib.import_module(name)
"""
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [name for name in TREES if name.startswith("sparsenas.commands.")])
def test_no_command_imports_another(name: str) -> None:
    others = {imported for imported in imports(name) if imported.startswith("sparsenas.commands")} - {name}
    assert not others, f"{name} imports {sorted(others)}: what commands share belongs in job/"


@every_module
def test_the_report_knows_no_space_and_no_method(name: str) -> None:
    if package(name) == "reporting":
        known = {imported for imported in imports(name) if package(imported) in ("spaces", "methods")}
        assert not known, f"{name} imports {sorted(known)}: a space or method brings its own part of the report"


def test_the_report_is_short() -> None:
    files = [path for path in (SRC / "sparsenas" / "reporting").rglob("*.*") if path.suffix != ".pyc"]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= MOST_LINES_OF_THE_REPORT


def test_imports_make_no_cycle() -> None:
    edges = {name: sorted(set(imports(name)) - {name}) for name in TREES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' -> '.join((*trail[trail.index(name) :], name))}"
        if name not in done:
            for imported in edges[name]:
                visit(imported, (*trail, name))
            done.add(name)

    for name in TREES:
        visit(name, ())


def test_files_are_short() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    long = {module_name(path): size for path, size in sizes.items() if size > MOST_LINES_OF_A_FILE}
    assert not long, f"files of more than {MOST_LINES_OF_A_FILE} lines: {long}"
    assert statistics.median(sizes.values()) <= MEDIAN_LINES_OF_A_FILE


def test_functions_are_short() -> None:
    sizes = {f"{name}.{function.name}:{function.lineno}": lines(function) for name, function in functions()}
    long = {name: size for name, size in sizes.items() if size > MOST_LINES_OF_A_FUNCTION}
    assert not long, f"functions of more than {MOST_LINES_OF_A_FUNCTION} lines: {long}"
    assert statistics.median(sizes.values()) <= MEDIAN_LINES_OF_A_FUNCTION


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """All functions and methods with the names of their modules."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield name, node


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The length of a function without its docstring, which for a command is the help text of all its flags."""
    docstring = function.body[:1] if ast.get_docstring(function) is not None else []
    return length(function) - sum(map(length, docstring))


def length(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def own_classes() -> dict[str, tuple[str, ast.ClassDef]]:
    found: dict[str, tuple[str, ast.ClassDef]] = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                other = found.setdefault(node.name, (name, node))[0]
                assert other == name, f"two classes are named {node.name}: in {other} and in {name}"
    return found


def bases(node: ast.ClassDef) -> list[str]:
    """The last names of the bases: ``Module`` for ``nn.Module``, ``Mapping`` for ``Mapping[str, int]``."""
    plain = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
    return [
        base.attr if isinstance(base, ast.Attribute) else base.id for base in plain if not isinstance(base, ast.Call)
    ]


def test_classes_are_abstract_or_final_and_inherit_two_deep() -> None:
    classes = own_classes()

    def depth(name: str) -> int:
        return 1 + max((depth(base) for base in bases(classes[name][1]) if base in classes), default=0)

    deep = {name: depth(name) for name in classes if depth(name) > MOST_OWN_CLASSES_DEEP}
    assert not deep, f"classes that inherit from more than one own class in a row: {deep}"
    parents = {base for _, node in classes.values() for base in bases(node) if base in classes}
    concrete = {name for name in parents if not {"ABC", "Protocol"} & set(bases(classes[name][1]))}
    assert not concrete, f"classes that are subclassed and not abstract: {sorted(concrete)}"


@every_module
def test_nothing_is_looked_up_by_guess(name: str) -> None:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "hasattr", f"{name}, line {node.lineno}: hasattr"
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"{name}, line {node.lineno}: import *"


@every_module
def test_no_module_is_a_drawer_for_everything(name: str) -> None:
    assert not {"utils", "util", "helpers", "common", "misc"} & set(name.split("."))


@every_module
def test_public_methods_say_what_they_do(name: str) -> None:
    silent = [
        f"{node.name}.{method.name}"
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        for method in node.body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and not exempt(method)
    ]
    assert not silent, f"{name}: public methods without a docstring: {silent}"


def exempt(method: ast.FunctionDef) -> bool:
    """Documented, or an nn.Module's forward, or the setter of a documented property."""
    setter = any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in method.decorator_list)
    return ast.get_docstring(method) is not None or method.name == "forward" or setter
