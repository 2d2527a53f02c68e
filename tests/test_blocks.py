"""Every block of code in the pages: Python runs, command lines are parsed by the real parser, shell is valid."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.pages import (
    PAGES,
    README,
    ROOT,
    blocks,
    command_lines,
    every_page,
    own_data,
    own_method,
    own_network,
    own_search,
)
from tests.real_runs import CPU, RealRun

import sparsenas
from opening_nets import small
from sparsenas.__main__ import main
from sparsenas.errors import UserError
from sparsenas.job.flags.parse import parse
from sparsenas.job.plugin import Plugin
from sparsenas.testing import check_space

WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
OPENING, TRAINED = ROOT / "docs" / "opening.md", ROOT / "docs" / "start" / "trained.md"
SHELL = re.compile(r"^(?:sparsenas|python|torchrun|make|pip|for|export|cp|srun|#!/bin/bash)\b", re.MULTILINE)
DRAWN = re.compile(r"^ +\|$", re.MULTILINE)
SCRIPT = re.compile(r"(?:^\s*|`)python (?!-)(\S+\.py)([^`\n#]*)", re.MULTILINE)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the modules that the pages tell to write."""
    own = {"mynet": own_network(), "mydata": own_data(), "mymethod": own_method(), "mysearch": own_search()}
    for module, text in own.items():
        (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@every_page
def test_command_lines_parse(page: Path, modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "experiments")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sparsenas.job.flags.parse.space_of_run", lambda run, trusted: "tiny")  # there is no such run
    commands = command_lines(page.read_text(encoding="utf-8"))
    for name, *flags in commands:
        command = vars(import_module(f"sparsenas.commands.{name}"))[name]
        if not {"--help", "--help-all"} & {*flags}:
            parse(command, [flag for flag in flags if flag != "--resume"])
    assert len(commands) >= 10 or page != ROOT / "docs" / "commandline.md"


@every_page
def test_blocks_for_the_shell_are_valid(page: Path) -> None:
    """Every block that is not Python is for the shell, but for drawings, whose paths tests/test_docs.py checks."""
    assert len(blocks(page)) == len(blocks(page, "python|bash|"))
    for block in blocks(page, "|bash"):
        if not DRAWN.search(block):
            assert SHELL.search(block)
            done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


@every_page
def test_scripts_exist_and_have_the_flags_that_are_given(page: Path) -> None:
    """Those of the page's folder may be named alone."""
    for path, words in SCRIPT.findall(page.read_text(encoding="utf-8")):
        script = next(base / path for base in (ROOT, page.parent) if (base / path).exists())
        code = script.read_text(encoding="utf-8")
        assert not [flag for flag in re.findall(r" (--[\w-]+)", words) if f'"{flag}"' not in code], script


def test_the_network_of_the_page_is_a_space(modules: Path) -> None:
    own = Plugin("mynet:make").build("space")
    check_space(lambda: own, (1, 8, 8), archs=18)
    with pytest.raises(UserError, match="expected a function that returns the network, got a Sequential"):
        check_space(own, (1, 8, 8))  # type: ignore[arg-type]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_runs(page: Path, modules: Path, monkeypatch: pytest.MonkeyPatch, real_run: RealRun) -> None:
    """The blocks of a page one after another, in an empty folder; those that only a finished run fits are bound."""
    monkeypatch.chdir(modules)
    monkeypatch.delitem(sys.modules, "net", raising=False)
    scope = dict[str, Any](sparsenas=sparsenas, net=small(), example=torch.zeros(2, 1, 8, 8), make=small)
    scope["data"] = torch.randn(60, 1, 8, 8), torch.arange(60) % 10
    if page == TRAINED:
        torch.save(small().state_dict(), "mine.pt")
        for part in ("train", "val", "test"):
            scope[f"x_{part}"], scope[f"y_{part}"] = scope["data"]
    elsewhere = set() if page in (README, OPENING) else {*blocks(README, "python"), *blocks(OPENING, "python")}
    for block in (block for block in blocks(page, "python") if block not in elsewhere):
        if "runs/demo" in block:
            shutil.copytree(real_run("spos"), modules / "runs" / "demo")
        if "runs/photos" in block:
            leave_a_photo_and_a_network_for_it()
        tree = ast.parse(block)
        if "retrain(smaller" in block:
            _bind(tree, scope)
            continue
        exec(compile(quickened(tree), str(page), "exec"), scope)
        if "runs/photos" in block:
            check_the_input_of_the_photo(scope)


def leave_a_photo_and_a_network_for_it() -> None:
    random = np.random.default_rng(0)
    for i in range(20):
        path = Path("photos", "ab"[i % 2], f"{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (60, 40, 3), dtype=np.uint8)).save(path)
    shutil.copy("photos/a/0.png", "photo.jpg")
    data = ["--data=imagefolder", "--data.root=photos", "--data.size=16,12", "--data.workers=0"]
    quick = ["--search.epochs=1", "--retrain.epochs=1", "--baselines=0", "--method=random", "--method.evaluations=2"]
    small = ["--space.width=4", "--space.blocks=1"]
    assert main(["run", *data, *quick, *small, *CPU, "--out=runs/photos"]) == 0


def check_the_input_of_the_photo(scope: dict[str, Any]) -> None:
    """The page prepares a photograph as training does."""
    data = sparsenas.data.imagefolder(Path("photos"), size=(16, 12), workers=0, val_share=0.5)
    parts = [data.prepared(next(part.batches(20)).inputs) for part in (data.train, data.val, data.test)]
    inputs = torch.from_numpy(scope["inputs"])
    assert min(float((one - inputs).abs().max()) for one in torch.cat(parts).split(1)) < 1e-5
    with torch.no_grad():
        expected = sparsenas.load("runs/photos")(inputs)
    torch.testing.assert_close(torch.from_numpy(scope["logits"]), expected, rtol=1e-3, atol=1e-4)


def quickened(tree: ast.Module) -> ast.Module:
    """A run of the page with few baselines and candidates."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) == "sparsenas.run":
            quick = "run(baselines=1, threads=1, search={'epochs': 1}, method={'name': 'spos', 'generations': 0})"
            given = {word.arg for word in call.keywords}
            more = ast.parse(quick, mode="eval").body.keywords  # type: ignore[attr-defined]
            call.keywords += [word for word in more if word.arg not in given]
    return tree


def _bind(tree: ast.Module, scope: dict[str, Any]) -> None:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        names = [str(word.arg) for word in call.keywords]
        inspect.signature(eval(ast.unparse(call.func), scope)).bind(*call.args, **dict.fromkeys(names))
