"""Finalists: the best candidates of a search are trained, and the best of them is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tests.real_runs import CPU, QUICK, TINY, RealRun, command

import sparsenas
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch
from sparsenas.job.folder import open_task
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import ARCHS, FINALISTS, Best, Finalist, Scored

THREE = ["--finalists=3", "--finalists.retrain=1"]


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory, real_run: RealRun) -> Path:
    """An evolution of a trained supernet whose three best candidates were trained."""
    out = tmp_path_factory.mktemp("finalists") / "run"
    command("evolve", real_run("spos"), "--out", out, "--budget", "flops<=60e3", *QUICK, *CPU, *THREE)
    return out


def test_the_best_candidates_are_trained_and_the_best_of_them_is_found(evolved: Path) -> None:
    run = Run(evolved)
    lines = run.lines(FINALISTS, Finalist)
    scored = sorted(run.lines(ARCHS, Scored), key=lambda line: -line.metrics["accuracy"])
    assert len(lines) == 3
    assert {line.metrics["accuracy"] for line in scored[:3]} == {line.inherited["accuracy"] for line in lines}
    best = max(lines, key=lambda line: (line.metrics["accuracy"], -line.metrics["loss"]))
    assert run.read(Best).arch == best.arch
    assert run.read(Best).val == best.inherited
    assert all(line.costs["flops"] <= 60e3 for line in lines)


def test_a_finalist_is_trained_on_the_training_examples_alone(evolved: Path) -> None:
    line, task = Run(evolved).lines(FINALISTS, Finalist)[0], open_task(evolved, torch.device("cpu")).task
    assert (line.epochs, line.examples) == (1, len(task.data.train))
    assert not Checkpoint(Run(evolved), "finalist1").interrupted()


def test_finalists_that_were_trained_are_not_trained_again(evolved: Path, real_run: RealRun, tmp_path: Path) -> None:
    out = tmp_path / "again"
    shutil.copytree(evolved, out)
    kept = (out / FINALISTS).read_text().splitlines()
    (out / FINALISTS).write_text(kept[0] + "\n")
    (out / Best.FILE).unlink()
    command("evolve", real_run("spos"), "--out", out, "--resume", *CPU)
    assert (out / FINALISTS).read_text().splitlines() == kept
    assert Run(out).read(Best) == Run(evolved).read(Best)


def test_the_report_lists_them(evolved: Path) -> None:
    page = (evolved / "report.html").read_text()
    assert "The best 3 candidates of the search were each trained for 1 epoch" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--finalists", "-1"], "--finalists: expected >= 0, got -1"),
        (["--finalists", "x"], "--finalists: expected an integer, got x"),
        (["--finalists", "2", "--finalists.retrain", "0"], "--finalists.retrain: expected >= 1, got 0"),
        (["--finalists", "2", "--method=ista"], "--finalists: expected 0, since ista learns one architecture, got 2"),
    ],
)
def test_mistakes(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *TINY, "--out", str(tmp_path / "new"), *words]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(told)
    assert not (tmp_path / "new").exists()


def test_finalists_from_python(tmp_path: Path) -> None:
    found = sparsenas.search(
        "tiny",
        budget="flops<=60e3",
        method={"name": "random", "evaluations": 3},
        search={"epochs": 1},
        finalists={"count": 2, "retrain": 1, "inherit": True},
        out=tmp_path / "run",
        threads=1,
    )
    lines = Run(tmp_path / "run").lines(FINALISTS, Finalist)
    assert len(lines) == 2
    assert found.arch in {Arch.from_json(found.arch.choices, line.arch) for line in lines}
