"""Real processes killed at random moments and resumed end with the very same files."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.made_once import MadeOnce

from processes import Forked, Launched, Program, Running, torchrun
from sparsenas.errors import UserError
from sparsenas.rundir.checkpoint import NEWEST
from sparsenas.rundir.tensors import load_tensors

Begun = Callable[[Path], bool]


def epochs(out: Path, stage: str) -> int:
    path = out / "log.jsonl"
    return path.read_text().count(f'"event": "epoch", "stage": "{stage}"') if path.exists() else 0


def after(stage: str, count: int = 1) -> Begun:
    """Whether so many epochs of a stage are done."""
    return lambda out: epochs(out, stage) >= count


def inside(stage: str, count: int) -> Begun:
    """Whether so many epochs of a stage are done, and the newest checkpoint was written within an epoch."""

    def begun(out: Path) -> bool:
        if epochs(out, stage) < count:
            return False
        try:
            state = load_tensors(out / NEWEST)
        except UserError:
            return False  # between two checkpoints, there is none under that name
        return state["stage"] == stage and len(state["epoch"]["rows"]) > 0

    return begun


@dataclass(frozen=True)
class Job:
    """What is run, when it is killed, and what it must leave."""

    flags: tuple[str, ...]
    moments: tuple[Begun, ...]
    """It is killed within a fraction of a second after each of these has become true."""
    files: tuple[str, ...]
    command: str = "run"
    launcher: tuple[str, ...] = ()
    """What starts it, where that matters; else it is forked, which is much faster."""
    seconds: float = 0.4
    """Between checkpoints: some in each epoch, but not one for each step, which would take longer than the steps."""

    def start(self, out: Path, program: Program | None = None) -> Running:
        """Begins or resumes the job."""
        seconds = f"--checkpoint_seconds={self.seconds}"
        words = [self.command, "--out", str(out), "--resume", *SHORT, seconds, *self.flags]
        output = out.with_name(f"{out.name}.txt")
        return Launched([*self.launcher, *words], output) if self.launcher else Forked(words, output, program)

    def finish(self, out: Path) -> None:
        code, printed = self.start(out).rest()
        assert code == 0, printed

    def kill_once(self, out: Path, begun: Begun, delay: float) -> bool:
        """Kills all processes some seconds after ``begun``; whether they were still running."""
        process = self.start(out)
        wait(out, process, begun)
        time.sleep(delay)
        running = process.poll() is None
        if running:
            process.kill()
        return running


def wait(out: Path, process: Running, begun: Begun) -> None:
    while not begun(out) and process.poll() is None:
        time.sleep(0.005)


PYTHON = (sys.executable, "-m", "sparsenas")
SEARCHING, TRAINING = 5, 3
"""Epochs."""
FEW = "--search.epochs=3"
"""Where an epoch takes seconds."""
SHORT = ("--accelerator=cpu", f"--search.epochs={SEARCHING}")
EVOLUTION = (
    "--space.width=8", "--space.blocks=3", "--method.population=20", "--method.generations=4", "--method.parents=5",
    "--method.mutants=10", "--method.crossovers=10", "--method.bins=3", "--budget=flops<=60e3",
)  # fmt: skip
OPENED = (
    "--space=open", "--space.net=opening_nets:small", "--space.shares=0.25,0.5,0.75,1", *EVOLUTION[2:-1],
    "--budget=flops<=40e3",
)  # fmt: skip
RETRAINING = (f"--retrain.epochs={TRAINING}", "--retrain.ema=0.9", "--baselines=2")
DISTILLED = (
    "--search.distill=sandwich", "--search.accumulate=2", "--search.optimizer=adamw", "--search.lr=0.01",
    "--retrain.distill=largest", "--retrain.optimizer=AdamW", "--retrain.lr=0.01",
)  # fmt: skip
SEARCHED, TRAINED = ("best.json", "supernet.pt"), ("net.pt", "net.safetensors", "results.json", "net.pt2")
SMALL_DSO = (
    "--space=dso",
    "--space.width=4",
    "--space.depth=1",
    "--data.val_share=0.5",
    "--search.batch=128",
    "--method=dso",
)
SMALL_DARTS = ("--space=darts", "--space.width=2", "--space.cells=3", "--data.val_share=0.5", "--search.batch=256")

JOBS = {
    "Spos": Job(
        (*EVOLUTION, *RETRAINING),
        (lambda out: (out / "supernet.pt").exists(), after("baseline1")),  # the other stages: those below
        (*SEARCHED, *TRAINED, "archs.jsonl"),
    ),
    "Distilled": Job(
        (*EVOLUTION, *DISTILLED, RETRAINING[0], "--baselines=0"),
        (after("supernet", 2), after("retrain")),
        (*SEARCHED, *TRAINED, "archs.jsonl"),
    ),
    "Ista": Job(
        ("--space=tiny", "--space.width=8", "--data.val_share=0.5", "--method=ista"),
        (after("supernet"), after("supernet", 3)),
        SEARCHED,
        "search",
    ),
    "IstaOneStage": Job(
        (*SMALL_DARTS, "--method=ista_one_stage", "--search.drop_path=0.2", "--search.auxiliary=0.4", FEW),
        (inside("supernet", 1),),
        (*SEARCHED, "net.pt"),
        "search",
        seconds=0.3,
    ),
    "Dso": Job(
        (*SMALL_DSO, "--method.prune_every=1", "--method.pretrain=0.1", "--budget=flops<=100e3", FEW),
        (after("supernet", 2),),  # most of the network is gone by then
        SEARCHED,
        "search",
    ),
    "Opened": Job(
        (*OPENED, *RETRAINING[:2], "--baselines=0", "--retrain.distill=original"),
        (after("supernet"), after("retrain")),
        (*SEARCHED, *TRAINED, "archs.jsonl", "net.py"),
    ),
    "Sensitivity": Job(
        (*OPENED[:3], "--method=sensitivity", "--method.proposals=8", "--search.epochs=0", OPENED[-1]),
        (lambda out: (out / "supernet.pt").exists(), lambda out: (out / "archs.jsonl").exists()),
        (*SEARCHED, "archs.jsonl"),
        "search",
    ),
}
"""Every method and every stage; the stages after the search are those of any method."""


def agree(job: Job, ours: Path, whole: Path) -> None:
    for name in job.files:
        assert (ours / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.fixture(scope="module")
def whole(made_once: MadeOnce) -> Callable[[str], Path]:
    """The folder of an uninterrupted run of a job."""
    return lambda name: made_once(f"uninterrupted {name}", JOBS[name].finish)


@pytest.mark.parametrize("name", JOBS)
def test_killed_runs_end_the_same(name: str, whole: Callable[[str], Path], tmp_path: Path) -> None:
    job, moments = JOBS[name], random.Random(name)
    out = tmp_path / "killed"
    killed = [job.kill_once(out, begun, moments.uniform(0, 0.4)) for begun in job.moments]
    assert sum(killed) >= max(1, len(job.moments) - 1), "most kills must come before the end"
    job.finish(out)
    agree(job, out, whole(name))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_told_to_stop_says_so_and_ends_the_same(
    number: signal.Signals, code: int, whole: Callable[[str], Path], tmp_path: Path
) -> None:
    job, out = JOBS["Ista"], tmp_path / "stopped"
    process = job.start(out)
    wait(out, process, after("supernet", 2))
    process.send(number)
    ended, printed = process.rest()
    assert ended == code
    assert printed.splitlines()[-1].startswith("sparsenas: interrupted; what was done is kept: --resume")
    assert "Traceback" not in printed
    job.finish(out)
    agree(job, out, whole("Ista"))


def test_torchrun_restarts_after_one_of_two_processes_was_killed(made_once: MadeOnce, tmp_path: Path) -> None:
    flags = (*EVOLUTION, "--method.generations=2", "--search.epochs=3")
    files = (*SEARCHED, "archs.jsonl")
    whole = made_once("uninterrupted two", Job((*flags, "--devices=2"), (), files, "search", PYTHON).finish)
    job, out = Job(flags, (), files, "search"), tmp_path / "elastic"
    process = job.start(out, torchrun)
    wait(out, process, after("supernet"))
    os.kill(max(_children(process.pid)), signal.SIGKILL)
    code, printed = process.rest()
    assert code == 0, printed
    agree(job, out, whole)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def test_the_log_has_every_epoch_once(whole: Callable[[str], Path]) -> None:
    records = [json.loads(line) for line in (whole("Spos") / "log.jsonl").read_text().splitlines()]
    seen = [(r["stage"], r["epoch"]) for r in records if "epoch" in r]
    assert seen == sorted(set(seen), key=seen.index)
    assert len(seen) == SEARCHING + 3 * TRAINING
