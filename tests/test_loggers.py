"""Loggers of other programs get every epoch once, whatever was interrupted, and the folder of the run keeps them."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import sparsenas
from sparsenas.__main__ import main
from sparsenas.errors import UserError
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import EpochEnd
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.loggers import LOGGERS, attach_loggers, metrics_of


def net() -> nn.Module:
    layers = {"linear": nn.Linear(4, 4), "skip": nn.Identity()}
    return nn.Sequential(nn.Linear(6, 4), sparsenas.Join.of("a", layers), nn.Linear(4, 3))


def search(out: Path, **flags: Any) -> sparsenas.Found:
    torch.manual_seed(0)
    data = torch.randn(60, 6), torch.arange(60) % 3
    few = {"name": "random", "evaluations": 2}
    quick = {"epochs": 3, "batch": 16}
    return sparsenas.search(
        net, data, method=few, search=quick, out=out, threads=1, accelerator="cpu", checkpoint_seconds=0, **flags
    )


def logged(run: Path) -> dict[tuple[str, int], dict[str, float]]:
    """The numbers of every epoch, by stage and number, as log.jsonl has them."""
    epochs = [line for line in Run(run).log() if isinstance(line, EpochEnd)]
    return {(line.stage, line.epoch): metrics_of(line) for line in epochs}


def of_csv(run: Path) -> dict[tuple[str, int], dict[str, float]]:
    found: dict[tuple[str, int], dict[str, float]] = {}
    with open(run / "loggers" / "csv" / "metrics.csv", newline="") as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            numbers = {name: float(value) for name, value in row.items() if value}
            assert (stage := next(iter(numbers)).partition("/")[0], step) not in found
            found[stage, step] = numbers
    return found


def of_tensorboard(run: Path) -> dict[tuple[str, int], dict[str, float]]:
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    found: dict[tuple[str, int], dict[str, float]] = {}
    for file in (run / "loggers" / "tensorboard").iterdir():
        for event in loading.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                numbers = found.setdefault((value.tag.partition("/")[0], event.step), {})
                assert value.tag not in numbers
                numbers[value.tag] = value.tensor.float_val[0]
    return found


@pytest.mark.filterwarnings("ignore:Experiment logs directory")
def test_a_resumed_search_and_a_retraining_have_every_epoch_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    saves, save = [0], Checkpoint.save

    def stopping(self: Checkpoint, parts: Any) -> None:
        save(self, parts)
        saves[0] += 1
        if saves[0] == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", stopping)
        with pytest.raises(KeyboardInterrupt):
            search(out, logger=["csv", "tensorboard"])
    assert of_csv(out) == logged(out)
    found = search(out, resume=True)
    sparsenas.retrain(found, retrain={"epochs": 2}, threads=1, accelerator="cpu", logger="csv")
    sparsenas.retrain(found, retrain={"epochs": 1}, threads=1, accelerator="cpu")
    expected = logged(out)
    assert [*expected] == [("supernet", 0), ("supernet", 1), ("supernet", 2), ("retrain", 0)]
    assert of_csv(out) == expected
    assert {key: pytest.approx(numbers) for key, numbers in of_tensorboard(out).items()} == expected


class Elsewhere:
    """In place of a logger that keeps its records elsewhere; each version is a list of steps."""

    kept: dict[str, list[tuple[int, str]]] = {}
    broken = False

    def __init__(self, *_: str, **given: Any) -> None:
        self.version = given.get("id") or given.get("run_id") or f"version{len(self.kept)}"

    @property
    def experiment(self) -> list[tuple[int, str]]:
        return self.kept.setdefault(self.version, [])

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        if self.broken:
            raise ConnectionError("no server\nat all")
        self.experiment.append((step, min(metrics)))

    def save(self) -> None:
        pass


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Elsewhere]]:
    module = ModuleType("pytorch_lightning.loggers")
    module.WandbLogger = module.MLFlowLogger = Elsewhere  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pytorch_lightning", ModuleType("pytorch_lightning"))
    monkeypatch.setitem(sys.modules, "pytorch_lightning.loggers", module)
    monkeypatch.setattr("sparsenas.rundir.loggers.check_extra", lambda *_: None)
    Elsewhere.kept, Elsewhere.broken = {}, False
    yield Elsewhere
    Elsewhere.broken = False


def epoch(stage: str, number: int) -> EpochEnd:
    return EpochEnd(stage=stage, epoch=number, epochs=3, step=1, lr=0.1, metrics={"a": 1.0}, examples_per_s=1.0)


@pytest.mark.parametrize("name", [name for name, kind in LOGGERS.items() if not kind.local])
def test_a_logger_elsewhere_continues_its_records(
    name: str, elsewhere: type[Elsewhere], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for start, numbers in ((0, (0, 1)), (1, (1, 2))):  # stopped after the second epoch, resumed from the first
        run = Run(tmp_path)
        attach_loggers(run, [name])
        RunLogger(run).rewind("supernet", start)
        for number in numbers:
            RunLogger(run).record(epoch("supernet", number))
    assert elsewhere.kept == {"version0": [(step, "supernet/a") for step in (0, 1, 2)]}
    RunLogger(run).rewind("retrain", 0)
    RunLogger(run).record(epoch("retrain", 0))
    RunLogger(run).rewind("retrain", 0)  # another retraining
    RunLogger(run).record(epoch("retrain", 0))
    assert elsewhere.kept["version0"][3:] == [(0, "retrain/a")] * 2
    elsewhere.broken = True
    RunLogger(run).record(epoch("retrain", 1))
    RunLogger(run).record(epoch("retrain", 2))
    assert capsys.readouterr().err == f"--logger {name}: failed and gets no more: no server\n"
    assert len(logged(tmp_path)) == 6
    run = Run(tmp_path)
    attach_loggers(run, [])
    assert run.followers == [], "it has to be asked for each time"


def test_mistakes_are_told_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sparsenas.errors.find_spec", lambda name: None)
    for logger, told in (
        ("excel", "--logger: expected one of csv, tensorboard, wandb, mlflow, got 'excel'"),
        ("wandb", "--logger wandb: needs pytorch_lightning, wandb, not installed: pip install 'sparsenas[wandb]'"),
    ):
        for command in ("run", "search"):
            monkeypatch.setattr("sparsenas.job.jobs.check_extra", lambda *_: None)
            monkeypatch.setattr("sparsenas.job.jobs.check_installed", lambda *_: None)
            assert main([command, f"--out={tmp_path / 'new'}", f"--logger={logger}"]) == 2
            assert told in capsys.readouterr().err
        assert main(["retrain", str(tmp_path), f"--logger={logger}"]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    (tmp_path / "loggers").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "loggers" / "csv").symlink_to(tmp_path / "other")
    with pytest.raises(UserError, match="csv: expected a folder of this run, got a link"):
        attach_loggers(Run(tmp_path), [])
