"""Loggers of other programs, which show the epochs of ``log.jsonl``: CSV, TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sparsenas.errors import UserError, check_extra, first_line
from sparsenas.parsing import parse_json, read_text, typed
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import EpochEnd, LogLine
from sparsenas.rundir.logger import RunLogger

FOLDER = "loggers"


class LightningLogger(Protocol):
    """What the loggers of Lightning and of its Fabric have in common."""

    version: Any
    """By which its records are continued."""
    experiment: Any
    """What it writes with; reading this starts it."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Takes the metrics of a step."""

    def save(self) -> None:
        """Writes what it has."""

    def finalize(self, status: str) -> None:
        """Closes it."""


class LoggerKind(NamedTuple):
    """A kind of loggers."""

    make: Callable[[Path, str, str | None], LightningLogger]
    """From its folder, the name of the run, and the version that is continued."""
    local: bool
    """Its files are made anew from log.jsonl where a run goes on; else it remembers what it has got."""
    extra: str | None = None


def _csv(folder: Path, name: str, version: str | None) -> Any:
    from lightning_fabric.loggers.csv_logs import CSVLogger

    return CSVLogger(folder.parent, name="", version=folder.name)


def _tensorboard(folder: Path, name: str, version: str | None) -> Any:
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    return TensorBoardLogger(folder.parent, name="", version=folder.name)


def _wandb(folder: Path, name: str, version: str | None) -> Any:
    from pytorch_lightning.loggers import WandbLogger

    continued = {} if version is None else {"id": version, "resume": "allow"}
    return WandbLogger(save_dir=folder, project="sparsenas", name=name, **continued)


def _mlflow(folder: Path, name: str, version: str | None) -> Any:
    from pytorch_lightning.loggers import MLFlowLogger

    return MLFlowLogger("sparsenas", run_name=name, save_dir=str(folder), run_id=version)


LOGGERS = {
    "csv": LoggerKind(_csv, local=True),
    "tensorboard": LoggerKind(_tensorboard, local=True, extra="tensorboard"),
    "wandb": LoggerKind(_wandb, local=False, extra="wandb"),
    "mlflow": LoggerKind(_mlflow, local=False, extra="mlflow"),
}


def check_loggers(names: Iterable[str]) -> None:
    """Raises ``UserError`` for a logger that there is not, and for one whose packages are not installed."""
    for name in names:
        if name not in LOGGERS:
            raise UserError(f"--logger: expected one of {', '.join(LOGGERS)}, got {name!r}")
        if extra := LOGGERS[name].extra:
            check_extra(extra, f"--logger {name}")


def attach_loggers(run: Run, names: Iterable[str]) -> None:
    """Lets loggers take every epoch of a run from now on: those of ``names``, and local ones that the run had before.

    Others have to be named each time: a run folder may come from somebody else, and they send what they get.
    Raises ``UserError`` where one cannot be started.
    """
    before = run.do(lambda: [name for name, kind in LOGGERS.items() if kind.local and (run / FOLDER / name).exists()])
    every = dict.fromkeys([*before, *names])
    check_loggers(every)
    run.followers = [LoggerFollower(run, name) for name in every]


@dataclass
class SentEpochs:
    """``loggers/NAME.json``: what a logger has got that is not local."""

    version: str | None
    """By which its records are continued."""
    epochs: dict[str, int]
    """Number of epochs by stage."""


class LoggerFollower:
    """One logger of a run; of several processes the first one works with it."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name, self.kind = run, name, LOGGERS[name]
        self.folder, self.record = run / FOLDER / name, run / FOLDER / f"{name}.json"
        self.logger: LightningLogger | None = None
        self.sent = SentEpochs(None, {})
        run.do(self._start)

    def take(self, line: LogLine) -> None:
        """Takes a line of the log; epochs are logged. A logger that fails is told, and gets no more."""
        if isinstance(line, EpochEnd):
            self.run.do(lambda: self._take([line]))

    def rewind(self, lines: Sequence[LogLine], stage: str, epoch: int) -> None:
        """A stage begins at ``epoch``, and the log has these ``lines`` now. From epoch 0 it is another training."""
        if epoch == 0:
            self.sent.epochs.pop(stage, None)
        if self.kind.local:
            epochs = [line for line in lines if isinstance(line, EpochEnd)]
            self.run.do(lambda: self._replay(epochs))

    def _start(self) -> None:
        if self.folder.is_symlink() or self.folder.parent.is_symlink():
            raise UserError(f"{self.folder}: expected a folder of this run, got a link")
        if not self.kind.local and self.record.exists():
            self.sent = typed(parse_json(read_text(self.record, self.record), self.record), SentEpochs, self.record)
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.logger = self.kind.make(self.folder, self.run.path.resolve().name, self.sent.version)
            _ = self.logger.experiment if not self.kind.local else None
        except Exception as error:  # of the logger's own: the library has as many as there are loggers
            raise UserError(f"--logger {self.name}: cannot be started: {first_line(error)}") from error

    def _replay(self, epochs: Sequence[EpochEnd]) -> None:
        with self._failing():
            if self.logger is not None:
                self.logger.finalize("success")
            shutil.rmtree(self.folder)
            self.logger = self.kind.make(self.folder, self.run.path.resolve().name, None)
        self._take(epochs)

    def _take(self, epochs: Sequence[EpochEnd]) -> None:
        new = [line for line in epochs if self.kind.local or line.epoch >= self.sent.epochs.get(line.stage, 0)]
        if self.logger is None or not new:
            return
        with self._failing():
            for line in new:
                self.logger.log_metrics(metrics_of(line), step=line.epoch)
            self.logger.save()
            if not self.kind.local:
                self._remember(new[-1])

    def _remember(self, line: EpochEnd) -> None:
        assert self.logger is not None
        self.sent.version = str(self.logger.version)
        self.sent.epochs[line.stage] = line.epoch + 1
        text = json.dumps(vars(self.sent)) + "\n"
        write_atomic(self.record, lambda file: file.write(text.encode()))

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """A training of days does not end because a server of logs is away."""
        try:
            yield
        except Exception as error:
            self.logger = None
            RunLogger(self.run).say(f"--logger {self.name}: failed and gets no more: {first_line(error)}")


def metrics_of(line: EpochEnd) -> dict[str, float]:
    """The numbers of an epoch by names such as ``supernet/loss``, and ``supernet/lambda/block1`` of a method."""
    numbers = {**line.metrics, "lr": line.lr, "examples_per_s": line.examples_per_s}
    numbers |= {f"{quantity}/{name}": n for quantity, named in line.figures.items() for name, n in named.items()}
    return {f"{line.stage}/{name}": value for name, value in numbers.items()}
