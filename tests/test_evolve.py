"""A trained supernet that is searched again: what the first run has scored counts."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.real_runs import CPU, RealRun, command

from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import ARCHS, Best, Scored


def test_candidates_of_the_first_run_count_and_a_killed_search_is_replayed(real_run: RealRun, tmp_path: Path) -> None:
    source, out, killed = real_run("spos"), tmp_path / "again", tmp_path / "killed"
    words = ["--budget", "flops<=45e3", "--method=random", "--method.evaluations=1", *CPU]
    command("evolve", source, "--out", out, *words)
    known = [line for line in Run(source).lines(ARCHS, Scored) if line.costs["flops"] <= 45e3]
    listed, best = Run(out).lines(ARCHS, Scored), Run(out).read(Best)
    assert 1 < len(known) <= len(listed) == len({line.text for line in listed})
    assert best.val is not None
    assert best.val["accuracy"] == max(line.metrics["accuracy"] for line in [*known, *listed])
    assert best.text in {line.text for line in listed}
    shutil.copytree(out, killed)
    (killed / Best.FILE).unlink()
    (killed / ARCHS).write_text("".join((out / ARCHS).read_text().splitlines(True)[:2]))
    command("evolve", source, "--out", killed, "--resume", *CPU)
    assert (killed / ARCHS).read_text() == (out / ARCHS).read_text()
    assert Run(killed).read(Best) == best
