"""Real processes killed at random moments and resumed end with the very same files."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FLAGS = [
    "--space.width=8", "--space.blocks=3", "--search.epochs=12", "--retrain.epochs=12", "--retrain.ema=0.9",
    "--method.population=20", "--method.generations=4", "--method.parents=5", "--method.mutants=10",
    "--method.crossovers=10", "--method.bins=3", "--baselines=2", "--accelerator=cpu", "--budget=flops<=60e3",
    "--checkpoint_seconds=0",
]  # fmt: skip
FILES = ("best.json", "net.pt", "archs.jsonl", "results.json", "net.pt2", "supernet.pt")


def start(out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sparsenas", "run", "--out", str(out), "--resume", *FLAGS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        # Where tests run in the background of a shell, processes begin with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )


def finish(out: Path) -> None:
    process = start(out)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed.decode()


def epochs(out: Path, stage: str) -> int:
    path = out / "log.jsonl"
    return path.read_text().count(f'"stage": "{stage}", "step"') if path.exists() else 0


STAGES: dict[str, Callable[[Path], bool]] = {
    "supernet": lambda out: epochs(out, "supernet") > 0,
    "evolution": lambda out: (out / "supernet.pt").exists(),
    "retrain": lambda out: epochs(out, "retrain") > 0,
    "baselines": lambda out: epochs(out, "baseline1") > 0,
}


def kill_once(out: Path, begun: Callable[[Path], bool], delay: float) -> bool:
    """Kills the run some seconds after a stage has begun; whether it was still running."""
    process = start(out)
    while not begun(out) and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return running


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("resume") / "whole"
    finish(out)
    return out


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_runs_end_the_same(seed: int, uninterrupted: Path, tmp_path: Path) -> None:
    moments = random.Random(seed)
    out = tmp_path / "killed"
    killed = [kill_once(out, begun, moments.uniform(0, 0.4)) for begun in STAGES.values()]
    assert sum(killed) >= 3, "most kills must come before the end"
    finish(out)
    for name in FILES:
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes(), name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_told_to_stop_says_so_and_ends_the_same(
    number: signal.Signals, code: int, uninterrupted: Path, tmp_path: Path
) -> None:
    process = start(tmp_path / "stopped")
    while epochs(tmp_path / "stopped", "supernet") < 3:
        time.sleep(0.005)
    process.send_signal(number)
    printed, _ = process.communicate()
    assert process.returncode == code
    assert printed.decode().splitlines()[-1].startswith("sparsenas: interrupted; what was done is kept: --resume")
    assert "Traceback" not in printed.decode()
    finish(tmp_path / "stopped")
    for name in FILES:
        assert (tmp_path / "stopped" / name).read_bytes() == (uninterrupted / name).read_bytes(), name


def test_the_log_has_every_epoch_once(uninterrupted: Path) -> None:
    records = [json.loads(line) for line in (uninterrupted / "log.jsonl").read_text().splitlines()]
    seen = [(r["stage"], r["epoch"]) for r in records if "epoch" in r]
    assert seen == sorted(set(seen), key=seen.index)
    assert len(seen) == 12 * 4
