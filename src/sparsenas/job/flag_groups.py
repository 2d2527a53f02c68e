"""Groups of flags that several commands share; the sentence below a field is its help."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sparsenas.errors import check_at_least
from sparsenas.job.flags.saved import unsaved
from sparsenas.job.plugin import Plugin
from sparsenas.searching.config import Scoring
from sparsenas.training.recipe import Recipe

SEARCH = Recipe(epochs=60, batch=64, lr=0.1, schedule="cosine")
RETRAIN = Recipe(epochs=30, batch=64, lr=0.1, schedule="cosine", weight_decay=3e-4)


@dataclass(frozen=True)
class Finalists:
    """The best candidates of a search: measured under a budget of latency, then trained. The best of them is found."""

    count: int = 0
    """Number of best candidates that are trained on the training examples and compared on the validation examples. 0 =
    none"""
    retrain: int = 10
    """Epochs of each training, by the recipe of --search"""
    inherit: bool | None = None
    """Whether they start from the weights of the supernet or anew. Default: true for an opened network, else false"""
    measure: int = 5
    """Number of best candidates that are measured whole in turn where latency_ms has an upper bound, until one keeps
    it. 0 = the latency table alone decides"""

    def __post_init__(self) -> None:
        check_at_least(vars(self), {"count": 0, "retrain": 1, "measure": 0})


@dataclass(frozen=True)
class ScoreOrder:
    """How scores are compared in a later search of the same supernet, where it is not as in the run.

    The examples that candidates are scored on stay, so that scores of the run are used again.
    """

    by: str | None = None
    """Metric by which candidates are compared, such as accuracy or loss. By default as in the run"""
    finalists: int | None = None
    """Number of best candidates that are scored once more on all validation examples. By default as in the run"""
    shrink: float | None = None
    """Shrinks scores toward a ridge regression fitted to all scores, 0 to 1. By default as in the run"""
    prior: float | None = None
    """Weight of the prior of multiply-adds and expressivity beside the scores. By default as in the run"""
    expressivity: bool | None = None
    """Whether the prior has expressivity as well as multiply-adds. By default as in the run"""

    def __post_init__(self) -> None:
        self.of(Scoring())

    def of(self, run: Scoring) -> Scoring:
        """How the run scores, with what differs. Raises ``UserError`` for a value out of range."""
        return replace(run, **{name: value for name, value in vars(self).items() if value is not None})


AS_IN_THE_RUN = ScoreOrder()


@dataclass(frozen=True, kw_only=True)
class ProblemFlags(ABC):
    """What is searched, on which data and under which budgets. Later commands read these from the run folder."""

    space: Plugin = Plugin("tiny")
    """Search space."""
    data: Plugin = Plugin("digits")
    """Data set."""
    objective: Plugin = Plugin("classification")
    """Task: the loss, the metrics and the score."""
    budget: list[str] = field(default_factory=list)
    """Hard limit on a cost of the final network, such as flops<=330e6, params>=1e5, or flops<=50% of the largest
    network's. Repeatable."""
    cost: list[str] = field(default_factory=list)
    """Cost to count as well: peak_memory, bytes, or a function of a layer or of the list of layers as
    package.module:callable, which budgets name by its name. Repeatable."""
    target: dict[str, Any] = field(default_factory=dict)
    """Flags of the space that differ in the final network."""
    seed: int = 0
    """Seed of all random numbers, 0 or more."""
    score: Scoring = Scoring()
    """How candidates are scored."""


@dataclass(frozen=True, kw_only=True)
class SupernetFlags(ABC):
    """How the supernet is trained."""

    search: Recipe = SEARCH
    """How the supernet is trained."""


@dataclass(frozen=True, kw_only=True)
class MethodFlags(ABC):
    """How the space is searched."""

    method: Plugin = Plugin("spos")
    """Search method."""
    latency: str = ""
    """Latency table, made by sparsenas latency. It adds the cost latency_ms."""
    random_search: int = 0
    """Number of random architectures to score for comparison. random.jsonl keeps the scores."""
    finalists: Finalists = Finalists()
    """The best candidates: how many are trained on their own for a while."""
    table: str = ""
    """File of architectures and their true accuracies, as for sparsenas rank. The search does not see it: truth.json
    and the report tell how good the found architecture is."""
    column: list[str] = field(default_factory=list)
    """Column of the table that has accuracies. Repeatable. By default accuracy, or where there is none every column of
    numbers."""


@dataclass(frozen=True, kw_only=True)
class RetrainingFlags(ABC):
    """How the found network is trained, and what it is compared with."""

    retrain: Recipe = RETRAIN
    """How the found network is trained."""
    inherit: bool | None = None
    """Whether it, and those it is compared with, start from the weights of the supernet or anew. Default: true for an
    opened network, else false."""
    scale_to: list[str] = field(default_factory=list)
    """Limit on a cost, such as params<=3e6. The found network is made as wide as the limit allows, by the flag width of
    the space. Repeatable."""
    baselines: int = 0
    """Number of random architectures of about the same cost to train in the same way."""
    compare: list[str] = field(default_factory=list)
    """Architecture to train in the same way, such as uniform:w2a4. Repeatable."""


@dataclass(frozen=True, kw_only=True)
class DataPlace:
    """Where the data of a run are now."""

    root: Path | None = None
    """Folder of the data, where it is not that of the run any more. Other data are refused."""


HERE = DataPlace()


@dataclass(frozen=True, kw_only=True)
class MovedFlags(ABC):
    """What may have changed since a run began."""

    data: DataPlace = unsaved(HERE)
    """Where the data of the run are now."""


@dataclass(frozen=True, kw_only=True)
class AcceleratorFlags(ABC):
    """Where to compute."""

    accelerator: str = "auto"
    """Device type: cpu, cuda, mps or auto."""
    threads: int = 0
    """CPU threads (0 = PyTorch's default). Use 1 for small networks."""


@dataclass(frozen=True, kw_only=True)
class ProcessFlags(ABC):
    """How a training is spread over devices, and saved."""

    devices: str = "1"
    """Number of devices, or auto."""
    num_nodes: int = 1
    """Number of machines."""
    precision: str = "32-true"
    """Precision of Lightning Fabric, such as 32-true, bf16-mixed or 64-true."""
    checkpoint_seconds: float = 10.0
    """Least number of seconds between two checkpoints."""


@dataclass(frozen=True, kw_only=True)
class LoggerFlags(ABC):
    """Where the epochs of trainings are shown beside log.jsonl."""

    logger: list[str] = unsaved([])
    """Logger of every epoch: csv, tensorboard, wandb or mlflow. Its files are in the folder loggers of the run.
    Repeatable."""


@dataclass(frozen=True, kw_only=True)
class FolderFlags(ABC):
    """The run folder. It is no part of what it keeps."""

    out: Path = unsaved(Path("runs/run"))
    """Run folder."""
    resume: bool = unsaved(False)
    """Continue the run in the folder; begin it where there is none."""


@dataclass(frozen=True, kw_only=True)
class TrustFlags(ABC):
    """What a run folder may have called."""

    trust_plugins: list[str] = unsaved([])
    """Plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable."""
