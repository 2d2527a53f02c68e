"""One job at a time writes to a run folder; the lock of a process that has ended does not stop the next one."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.real_runs import RealRun
from tests.test_cli import fails

from processes import Forked
from sparsenas.__main__ import main
from sparsenas.errors import UserError
from sparsenas.rundir import lock
from sparsenas.rundir.folder import Run
from sparsenas.rundir.lock import Lock, locked

LONG = ("--accelerator=cpu", "--checkpoint_seconds=0.1", "--search.epochs=500", "--space.width=8", "--space.blocks=3")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture(scope="module")
def ended() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


@pytest.fixture(scope="module")
def living() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def hold(run: Run, pid: int, host: str = "", started: str | None = None, job: str | None = None) -> None:
    """A lock as another process has left it."""
    since = "2026-01-02 03:04:05+00:00"
    run.write(Lock(host=host or platform.node(), pid=pid, started=started, since=since, job=job))


@contextmanager
def searching(out: Path) -> Iterator[Forked]:
    """A process that searches, and has written a checkpoint."""
    process = Forked(["search", "--out", str(out), *LONG], out.with_name("first.txt"))
    try:
        while not (out / "checkpoint.pt").exists():
            assert process.poll(0.01) is None, process.output.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.kill()


def test_a_second_process_is_refused_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with searching(out) as first:
        for words in (["search", "--resume", "--out"], ["search", "--out"], ["retrain"], ["export"]):
            code, printed = Forked([*words, str(out)], tmp_path / f"{'-'.join(words)}.txt").rest()
            told = f"sparsenas: {out}: process {first.pid} on {platform.node()} works in this run folder since 20"
            assert code == 2
            assert printed.startswith(told)
            assert printed.endswith(f"; wait for it, or stop it; if it has ended, remove {out / 'lock.json'}\n")
            assert printed.count("\n") == 1
        first.send(signal.SIGTERM)
        assert first.rest()[0] == 143
    assert not (out / "lock.json").exists()
    epochs = [line for line in (out / "log.jsonl").read_text().splitlines() if '"epoch"' in line]
    assert len(epochs) == len(set(epochs))


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with searching(out) as first:
        first.kill()
        with locked(Run(out)):
            assert Run(out).read(Lock).pid == os.getpid()


def test_the_lock_is_there_while_the_work_lasts(run: Run) -> None:
    with locked(run):
        held = run.read(Lock)
        assert (held.host, held.pid) == (platform.node(), os.getpid())
        with pytest.raises(UserError, match=f"process {os.getpid()} on"), locked(run):
            pass
        assert run.read(Lock) == held
    assert not list(run.path.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_lock_ends_with_the_work_however_it_ends(run: Run, error: type[BaseException]) -> None:
    with pytest.raises(error), locked(run):
        raise error
    assert not list(run.path.iterdir())


def test_locks_of_ended_processes_are_stale(run: Run, ended: int, living: int) -> None:
    for pid, started in ((ended, None), (ended, "17"), (living, "17"), (2**70, None)):
        hold(run, pid, started=started)
        with locked(run):
            assert run.read(Lock).pid == os.getpid()
        assert not list(run.path.iterdir())


def test_a_process_that_has_ended_and_not_been_asked_for_its_exit_code_has_ended(run: Run) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        while lock._state(process.pid)[0] != "Z":
            time.sleep(0.01)
        hold(run, process.pid)
        with locked(run):
            pass


def test_locks_of_living_processes_are_not(run: Run, living: int) -> None:
    for started in (None, lock._state(living)[1]):
        hold(run, living, started=started)
        with pytest.raises(UserError, match="works in this run folder since 2026-01-02 03:04:05"), locked(run):
            pass
        assert run.read(Lock).pid == living


def test_where_the_system_tells_less_a_process_that_may_run_counts_as_running(
    run: Run, ended: int, living: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_state", lambda pid: (None, None))
    hold(run, ended)
    with locked(run):
        pass
    hold(run, living, started="17")
    with pytest.raises(UserError, match=f"process {living}"), locked(run):
        pass
    monkeypatch.setattr(sys, "platform", "win32")
    hold(run, ended)
    with pytest.raises(UserError, match=f"process {ended}"), locked(run):
        pass


def test_only_its_owner_can_tell_of_another_machines_process(run: Run, ended: int) -> None:
    hold(run, ended, host="node7")
    with pytest.raises(UserError, match=rf"process {ended} on node7 .* remove .*lock\.json"), locked(run):
        pass


def test_a_restart_on_another_machine_takes_over_the_lock_of_its_own_job(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ours, theirs in (("search1", "search2"), ("search1", None), ("none", "none")):
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", ours)
        hold(run, 1, host="node7", job=theirs)
        with pytest.raises(UserError, match="node7"), locked(run):
            pass
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "search1")
    hold(run, 1, host="node7", job="search1")
    with locked(run):
        assert run.read(Lock).job == "search1"


def test_a_lock_removed_or_taken_meanwhile_is_left_alone(run: Run, living: int) -> None:
    with locked(run):
        run.remove(Lock.FILE)
    with locked(run):
        hold(run, living)
    assert run.read(Lock).pid == living


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"host": "a"})])
def test_a_damaged_lock_is_named(run: Run, text: str) -> None:
    (run / Lock.FILE).write_text(text)
    told = r"lock\.json: expected .*; if no process works in this run folder, remove"
    with pytest.raises(UserError, match=told), locked(run):
        pass


def test_commands_that_only_read_need_no_lock(
    real_run: RealRun, living: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(real_run("spos"))
    hold(run, living)
    try:
        for words in (["evaluate", str(run.path)], ["report", str(run.path)]):
            assert main(words) == 0
        for words in (["export"], ["retrain"], ["rank", "--table=x.json"], ["run", "--resume", "--out"]):
            assert f"process {living}" in fails(capsys, *words, str(run.path))
    finally:
        run.remove(Lock.FILE)
