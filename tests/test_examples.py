"""Each example of ``examples/`` in a shortened form: one epoch, few candidates, one random network to compare with."""

from __future__ import annotations

import html
import importlib.util
import json
import os
import re
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import onnxruntime
import pytest
from nbclient import NotebookClient

import sparsenas
from sparsenas.costs import parse_budgets
from sparsenas.objectives import OBJECTIVES

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))
PACKAGES = {"time_series": "sktime"}
"""What an example needs besides the package itself; the extra ``examples`` has it."""
MOST_LINES = 110
STARTS = ("own_cnn", "trained", "own_loop", "segmentation", "time_series", "many_processes")
"""The scripts that people start from."""
MOST_LINES_OF_A_START = 60
NOTEBOOKS = {
    "quickstart": "epochs, retrain_epochs, generations, baselines = 1, 1, 0, 1",
    "open_a_network": "epochs, retrain_epochs, baselines = 1, 1, 1",
}
"""The notebooks, and the numbers with which they take seconds instead of minutes."""


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def shortened(run: Any, seen: dict[str, Any], **arguments: Any) -> sparsenas.Found:
    """The run with one epoch for each network and a random search of few candidates."""
    for training in ("search", "retrain"):
        arguments[training] = {**arguments[training], "epochs": 1, "warmup": 0}
    method = {"name": "spos", "population": 8, "mutants": 4, "crossovers": 4, "generations": 1}
    score = {**arguments.get("score", {}), "calibration": 32, "val": 60}
    seen.update({**arguments, "method": method, "score": score, "baselines": 1})
    return run(**seen)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "own_loop"])
def test_an_example_runs_from_search_to_report(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name])
    seen: dict[str, Any] = {}
    monkeypatch.setattr(sparsenas, "run", partial(shortened, sparsenas.run, seen))
    example = module(name)
    monkeypatch.setitem(sys.modules, example.__name__, example)
    found = example.main(out=tmp_path / "run", accelerator="cpu", devices="1")
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    score = OBJECTIVES[seen.get("objective", "classification")]().score
    assert found.test is not None
    assert score in found.test
    budgets = json.loads((found.path / "best.json").read_text())["budgets"]  # percentages as numbers
    assert budgets
    for budget in parse_budgets(budgets, found.costs):
        assert budget.allows(found.costs[budget.cost])
    assert (found.path / "net.pt2").exists()
    assert onnxruntime.InferenceSession(found.path / "net.onnx").get_inputs()
    check = found.results.export
    assert check is not None
    assert check.same_predictions == check.examples
    page = (found.path / "report.html").read_text(encoding="utf-8")
    words = re.sub(r"<(script|style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert score.replace("_", " ") in words.lower()
    assert "accuracy" not in words.lower() or any("accuracy" in metric for metric in found.test)
    for block in re.findall(r"<pre><code>(import (?:torch|numpy).*?)</code></pre>", page, re.DOTALL):
        exec(compile(html.unescape(block), "the code in the report", "exec"), {})
    assert capsys.readouterr().out


def test_a_loop_of_ones_own_runs() -> None:
    found, accuracy = module("own_loop").main(epochs=1, method={"name": "random", "evaluations": 8})
    assert found.costs["params"] <= 2000
    assert 0 <= accuracy <= 1


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    given = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    assert given.source.partition(" = ")[0] == NOTEBOOKS[name].partition(" = ")[0]
    given.source = NOTEBOOKS[name]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "runs").is_dir()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_kept_without_outputs(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell for cell in code if cell.outputs or cell.execution_count]
    assert f"| [{name}.ipynb]({name}.ipynb) |" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_examples_are_short_and_in_the_table() -> None:
    table = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(EXAMPLES) >= 6
    for name in EXAMPLES:
        assert f"| [{name}.py]({name}.py) |" in table
        lines = (FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()
        assert len(lines) <= (MOST_LINES_OF_A_START if name in STARTS else MOST_LINES)
