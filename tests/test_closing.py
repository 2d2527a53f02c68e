"""The closing lines of a job."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from tests.real_runs import RealRun

from sparsenas.job.closing import say_if_worse, say_next
from sparsenas.objectives import Classification
from sparsenas.rundir.folder import Run


@pytest.fixture
def run(real_run: RealRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(real_run("spos"), tmp_path / "run"))


@pytest.mark.parametrize(("before", "after", "told"), [(0.99, 0.93, True), (0.99, 0.985, False), (0.9, 0.95, False)])
def test_training_that_made_the_network_worse(
    run: Path, before: float, after: float, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """By more than 360 test digits can tell."""
    results = json.loads((run / "results.json").read_text())
    for name, accuracy in (("inherited", before), ("retrained", after)):
        results[name]["metrics"]["accuracy"] = accuracy
    (run / "results.json").write_text(json.dumps(results))
    say_if_worse(Run(run), Classification(classes=10))
    line = "the retrained network is worse than with inherited weights, 93.00% instead of 99.00%: "
    assert capsys.readouterr().err.startswith(line) == told


def test_next_commands_may_run_the_code_that_they_need(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    space = {"name": "open", "net": "mine:make"}
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "space": space, "cost": ["mine:cost"]}))
    say_next(Run(run))
    trust = "--trust-plugins mine:cost --trust-plugins mine:make"
    assert capsys.readouterr().err == f"next: sparsenas export {run} {trust}, sparsenas report {run}\n"
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "data": {"name": "object:Data"}}))
    say_next(Run(run))
    assert capsys.readouterr().err == "", "no command has the object"
