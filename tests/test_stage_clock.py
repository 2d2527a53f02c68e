"""Times of stages: of a stage that was interrupted, what earlier processes kept counts too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.real_runs import CPU, QUICK, TINY, RealRun
from tests.test_report import Page

from sparsenas.__main__ import main
from sparsenas.reporting import report
from sparsenas.reporting.loading import load_run
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import StageEnd
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.stage_clock import Spent, StageClock, forget

SINCE = "Time and passes of a stage that was resumed are those since then."


class Clock:
    """Seconds that pass when told to."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def worked(run: Run, stage: str, *keeps: float, passes: int | None = None) -> StageClock:
    """The clock of a process that noted its work after so many seconds each, and worked 5 seconds more."""
    now = Clock()
    clock = StageClock(run, stage, now)
    for seconds in keeps:
        now.seconds += seconds
        clock.data_passes = passes
        clock.keep()
    now.seconds += 5
    return clock


def test_kept_work_counts_after_an_interruption(tmp_path: Path) -> None:
    run = Run(tmp_path)
    worked(run, "evolution", 10, 20, passes=3)
    worked(run, "supernet", 1)
    worked(run, "evolution", 7, passes=2)
    end = worked(run, "evolution", passes=None).end()
    assert (end.seconds, end.data_passes, end.whole) == (30 + 7 + 5, None, True)
    worked(run, "evolution", 10, passes=3)
    end = worked(run, "evolution", 0, passes=2).end()
    assert (end.seconds, end.data_passes) == (15, 5)
    assert [*run.read(Spent).stages] == ["supernet"]
    assert worked(run, "supernet").end().seconds == 6
    assert not run.has(Spent.FILE), "only unfinished stages are kept"


def test_stages_that_begin_anew_forget(tmp_path: Path) -> None:
    run = Run(tmp_path)
    worked(run, "retrain", 10)
    worked(run, "baselines", 10)
    forget(run, ["baselines", "compare"])
    assert worked(run, "baselines").end().seconds == 5
    assert worked(run, "retrain").end().seconds == 15


def test_what_is_interrupted_records_no_end(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def interrupted() -> None:
        with RunLogger(run).stage("export") as clock:
            clock.keep()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert run.log() == []
    assert [*run.read(Spent).stages] == ["export"]


def test_a_search_goes_on_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["search", "--out", str(tmp_path), *TINY, *QUICK, *CPU, "--checkpoint_seconds=0"]
    kept, stop = StageClock.keep, ["supernet", "evolution"]

    def keep(clock: StageClock) -> None:
        clock.start -= 1000  # as if it had worked so long
        kept(clock)
        if clock.stage in stop:
            stop.remove(clock.stage)
            raise KeyboardInterrupt

    monkeypatch.setattr(StageClock, "keep", keep)
    assert [main([*words, "--resume"]) for _ in range(3)] == [130, 130, 0]
    supernet, evolution = (line for line in Run(tmp_path).log() if isinstance(line, StageEnd))
    kept_seconds = 1000 * 2, 1000 * 1
    for line, least in zip((supernet, evolution), kept_seconds, strict=True):
        assert line.seconds >= least, line.stage
    assert evolution.data_passes == len({line.generation for line in load_run(tmp_path).candidates})
    assert not (tmp_path / Spent.FILE).exists()


def test_older_folders_say_what_they_lack(real_run: RealRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly.js v0 */")
    run = Path(shutil.copytree(real_run("random"), tmp_path / "run"))
    assert SINCE not in Page(report(run)).text
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    old = [{name: value for name, value in line.items() if name != "whole"} for line in lines]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in old))
    assert SINCE in Page(report(run)).text
