"""Progress: lines in a log come early and then at least every minute, and steps pay nothing for them."""

from __future__ import annotations

import io
import time
from pathlib import Path
from threading import Event

import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import nn

from sparsenas.data import Data, Split
from sparsenas.objectives import Classification
from sparsenas.rundir import progress
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.progress import Bar, Following, told_if_slow
from sparsenas.training.loops import train_network
from sparsenas.training.recipe import Recipe


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def steps(bar: Bar, clock: Clock, count: int, seconds: float, asked: list[int] | None = None) -> None:
    """An epoch of ``count`` steps."""
    for step in range(1, count + 1):
        clock.seconds += seconds
        bar.within(step / count, lambda: f"step {step}" if asked is None else f"{asked.append(step)}")  # noqa: B023
    bar.advance("the end")


def lines_of(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_long_epoch_prints_a_line_early_and_one_at_least_every_minute() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), force_terminal=False, width=200)
    with Bar(console, "supernet", 4, now=clock) as bar:
        at = [(clock.seconds, 0)]
        for step in range(1, 601):
            clock.seconds += 1
            bar.within(step / 600, lambda: "loss 1.5")
            if len(lines_of(console)) > at[-1][1]:
                at.append((clock.seconds, len(lines_of(console))))
    times = [seconds for seconds, _ in at]
    assert 5 <= times[1] - times[0] <= 10
    assert all(later - earlier <= 60 for earlier, later in zip(times, times[1:], strict=False))
    assert len(times) < 40
    first = lines_of(console)[0]
    assert first.startswith("supernet 0/4  loss 1.5  ")
    assert first.endswith("39:52 left")  # 8 of 2400 seconds are over


def test_short_epochs_print_as_many_lines_as_before() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), force_terminal=False, width=200)
    with Bar(console, "retrain", 100, now=clock) as bar:
        for _ in range(100):
            steps(bar, clock, 10, 0.125)
    assert len(lines_of(console)) == 25
    assert all("the end" in line for line in lines_of(console))
    assert lines_of(console)[-1] == "retrain 100/100  the end  took 2:05"


def test_facts_are_asked_for_only_when_they_are_shown() -> None:
    clock, asked = Clock(), list[int]()
    console = Console(file=io.StringIO(), force_terminal=False, width=200)
    with Bar(console, "supernet", 1, now=clock) as bar:
        steps(bar, clock, 1000, 0.1, asked)
    assert len(asked) == len(lines_of(console)) - 1 == 4


def test_a_resumed_epoch_does_not_count_what_was_done_before() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), force_terminal=False, width=200)
    with Bar(console, "supernet", 10, done=5.5, now=clock) as bar:
        clock.seconds += 8
        bar.within(0.6)
    assert lines_of(console) == ["supernet 5/10    5:52 left"]


def test_on_a_terminal_the_bar_moves_by_steps() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), force_terminal=True, width=200)
    with Bar(console, "supernet", 2, now=clock) as bar:
        assert bar.live is not None
        live, task = bar.live
        seen, asked = set[float](), list[int]()
        for step in range(1, 101):
            clock.seconds += 0.1
            bar.within(step / 100, lambda: f"{asked.append(1)}")
            seen.add(live.tasks[task].completed)
    assert len(seen) > 30
    assert len(asked) <= 2
    assert "left" in live.tasks[task].fields["facts"]


def test_a_quiet_bar_says_nothing() -> None:
    clock, asked = Clock(), list[int]()
    console = Console(file=io.StringIO(), quiet=True)
    with Bar(console, "supernet", 1, now=clock) as bar:
        steps(bar, clock, 100, 1.0, asked)
    assert lines_of(console) == []
    assert asked == []


def test_a_step_pays_microseconds() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    with Bar(console, "supernet", 1) as bar:
        start = time.process_time()
        for step in range(10_000):
            bar.within(step / 10_000, lambda: "")
        each = (time.process_time() - start) / 10_000
    assert each < 50e-6  # one to two; a step of the smallest network takes milliseconds


def test_training_reports_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EARLY_SECONDS", 0.0)
    images = Split(torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8), torch.arange(64) % 10)
    data = Data(tuple("0123456789"), images, images, images, (0.5,), (0.5,))
    run, fabric = Run(tmp_path), Fabric(accelerator="cpu", devices=1)
    logger = RunLogger(run)
    logger.console = Console(file=io.StringIO(), force_terminal=False, width=200)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    train_network(
        fabric,
        net,
        data,
        Classification(10),
        images,
        Recipe(epochs=1, batch=16),
        0,
        logger,
        Checkpoint(run, "retrain", 1e9),
    )
    within, end = lines_of(logger.console)
    assert within.startswith("retrain 0/1  epoch 1: 25%  loss ")
    assert "examples/s" in within
    assert within.endswith(" left")
    assert end.startswith("retrain 1/1  training loss ")


def test_only_slow_work_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told, said = list[str](), Event()
    with told_if_slow(told.append, "quick"):
        pass
    monkeypatch.setattr("sparsenas.rundir.progress.SLOW_SECONDS", 0.01)
    with told_if_slow(lambda line: (told.append(line), said.set()), "slow"):
        assert said.wait(60)
    assert told == ["slow"]


@pytest.mark.parametrize(
    ("following", "early", "last"),
    [
        (Following(), "0:30 left", "took 0:40"),
        (Following(8), "0:30 left, 5:50 with 8 more networks", "took 0:40, 5:20 left for 8 more networks"),
        (Following(1), "0:30 left, 1:10 with 1 more network", "took 0:40, 0:40 left for 1 more network"),
        (Following(2, alike=False), "0:30 left, then 2 more networks", "took 0:40, then 2 more networks"),
    ],
)
def test_what_follows_is_told_with_its_time(following: Following, early: str, last: str) -> None:
    clock, console = Clock(), Console(file=io.StringIO(), force_terminal=False, width=200)
    with Bar(console, "retrain", 4, following=following, now=clock) as bar:
        for _ in range(4):
            clock.seconds += 10
            bar.advance("loss")
    lines = lines_of(console)
    assert (lines[0], lines[-1]) == (f"retrain 1/4  loss  {early}", f"retrain 4/4  loss  {last}")


def test_the_time_of_what_follows_is_that_of_whole_trainings() -> None:
    clock, console = Clock(), Console(file=io.StringIO(), force_terminal=False, width=200)
    with Bar(console, "baseline3", 4, done=3, following=Following(2), now=clock) as bar:
        clock.seconds += 10
        bar.advance()
    assert lines_of(console) == ["baseline3 4/4    took 0:10, 1:20 left for 2 more networks"], "resumed at epoch 3"
