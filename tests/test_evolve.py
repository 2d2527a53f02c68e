"""Afterwards: a trained supernet is searched again, and another architecture takes the place of the found one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.real_runs import CPU, RealRun, command

import sparsenas
from sparsenas.__main__ import main
from sparsenas.rundir.config import read_config
from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import ARCHS, Best, Scored
from sparsenas.rundir.results import results


def test_candidates_of_the_first_run_count_and_a_killed_search_is_replayed(real_run: RealRun, tmp_path: Path) -> None:
    source, out, killed = real_run("spos"), tmp_path / "again", tmp_path / "killed"
    words = ["--budget", "flops<=45e3", "--method=random", "--method.evaluations=1", CPU[0]]
    command("evolve", source, "--out", out, *words)
    assert read_config(Run(out))["threads"] == 1  # as the first run
    known = [line for line in Run(source).lines(ARCHS, Scored) if line.costs["flops"] <= 45e3]
    listed, best = Run(out).lines(ARCHS, Scored), Run(out).read(Best)
    assert 1 < len(known) <= len(listed) == len({line.text for line in listed})
    assert best.val is not None
    assert best.val["accuracy"] == max(line.metrics["accuracy"] for line in [*known, *listed])
    assert best.text in {line.text for line in listed}
    shutil.copytree(out, killed)
    (killed / Best.FILE).unlink()
    (killed / ARCHS).write_text("".join((out / ARCHS).read_text().splitlines(True)[:2]))
    command("evolve", source, "--out", killed, "--resume", CPU[0])
    assert (killed / ARCHS).read_text() == (out / ARCHS).read_text()
    assert Run(killed).read(Best) == best


def test_scores_are_compared_anew_without_scoring_again(real_run: RealRun, tmp_path: Path) -> None:
    source, out = real_run("spos"), tmp_path / "again"
    method = {"name": "random", "evaluations": 1}
    given = {"by": "loss", "shrink": 0.5, "prior": 1e6, "expressivity": False}
    found = sparsenas.evolve(source, "flops<=45e3", method=method, score=given, out=out, accelerator="cpu")
    before, after = (read_config(Run(folder))["score"] for folder in (source, out))
    assert after == {**before, **given}
    known = Run(out).lines(ARCHS, Scored)
    assert found.costs["flops"] == max(line.costs["flops"] for line in known)  # nearly all is the prior
    assert len({line.text for line in known} - {line.text for line in Run(source).lines(ARCHS, Scored)}) <= 1
    (out / Best.FILE).unlink()
    command("evolve", source, "--out", out, "--resume", CPU[0])
    assert Run(out).read(Best).text == found.arch.text()
    assert read_config(Run(out))["score"] == after
    with pytest.raises(AssertionError):
        command("evolve", source, "--out", out, "--resume", "--score.prior=2", CPU[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--score.prior=-1"], "--score.prior: expected 0 <= prior < infinity, got -1"),
        (["--score.by=speed"], "--score.by: expected one of accuracy, loss, got speed"),
        (["--score.prior=1", "--pareto=flops"], "--score.prior: expected none with --pareto"),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    real_run: RealRun, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    out = tmp_path / "again"
    assert main(["evolve", str(real_run("spos")), "--out", str(out), *words, *CPU]) == 2
    assert message in capsys.readouterr().err
    assert not (out / Best.FILE).exists()


def test_another_architecture_takes_the_place_of_the_found_one(real_run: RealRun, tmp_path: Path) -> None:
    run = Run(shutil.copytree(real_run("spos"), tmp_path / "run"))
    before, other = run.read(Best), results(run).baselines[0]
    words = ["retrain", run.path, "--retrain.epochs=1", *CPU]
    with pytest.raises(AssertionError):
        command(*words, "--arch=full")  # breaks the budget
    assert run.read(Best) == before
    command(*words, "--arch", other.text)
    best, tested = run.read(Best), results(run)
    assert (best.arch, best.costs, best.budgets) == (other.arch, other.costs, before.budgets)
    assert best.warning == f"The architecture was given by --arch; the search found {before.text}"
    assert tested.retrained is not None
    assert tested.inherited is None
    sparsenas.load(run.path)
