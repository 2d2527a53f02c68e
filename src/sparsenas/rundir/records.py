"""The records of a run folder: one class per JSON file, or per line of a JSONL file.

``Run.read``, ``Run.find`` and ``Run.write`` take records with a ``FILE``. ``Run.lines`` and ``Run.append`` take the
lines of JSONL files. A required field is always written; with ``omit_defaults`` a field is left out at its default.
"""

from __future__ import annotations

import statistics
from typing import Any, ClassVar

from msgspec import Struct

from sparsenas.core.choice import Choice
from sparsenas.searching.precision import SHARE

Costs = dict[str, int | float]
"""Exact costs by name: multiply-adds (``flops``), parameters (``params``), ..., milliseconds (``latency_ms``)."""
ArchLabels = dict[str, str | list[str]]
"""The kept options by name of the choice; a label where exactly one option is kept, else a list of labels."""
Metrics = dict[str, float]
"""Metrics of the objective by name; the mean loss, ``loss``, is always among them."""
ARCHS, RANDOM, RANKED = "archs.jsonl", "random.jsonl", "rank.jsonl"
FINALISTS, MEASURED = "finalists.jsonl", "measured.jsonl"


class RunInfo(Struct, frozen=True, kw_only=True):
    """``run.json``: which program made the run folder, and where."""

    FILE: ClassVar[str] = "run.json"
    format: int
    """Version of the files of the folder."""
    command: str
    """The command that began the run."""
    versions: dict[str, str]
    """Version by package, and of Python."""
    machine: str
    """Processor architecture and operating system."""
    space_sha256: str | None = None
    """SHA-256 of the source code of the space; null where an earlier version began the run."""
    weights_sha256: str | None = None
    """SHA-256 of the weights of the network that was opened; null for any other space."""
    code: list[str] = []
    """The user's own code that the run calls, as package.module:callable; it has to be trusted to be called again."""


class SpaceInfo(Struct, frozen=True, kw_only=True):
    """``choices.json``: the search space of the run."""

    FILE: ClassVar[str] = "choices.json"
    shape: Any
    """The shape of an input without the batch: a list of numbers, or such lists in the form of the input."""
    size: int
    """Number of architectures, at most 10 to the 4000th."""
    choices: list[Choice]
    """In the order of the network."""
    range: dict[str, tuple[int | float, int | float]]
    """Lowest and highest cost of an architecture, by cost."""


class Sample(Struct, frozen=True, kw_only=True):
    """An example image."""

    label: int
    """Index of its class."""
    png: str
    """PNG file, base64."""


class ScoreInfo(Struct, frozen=True, kw_only=True):
    """The metric by which the networks of a run are compared."""

    name: str
    """Name of the metric, such as accuracy."""
    higher_is_better: bool
    shares: list[str]
    """Names of the metrics that are shares from 0 to 1."""


class DataInfo(Struct, frozen=True, kw_only=True):
    """``data.json``: the task, and the data set in numbers and example images."""

    FILE: ClassVar[str] = "data.json"
    score: ScoreInfo
    classes: list[str]
    """Names of the classes; empty where targets are no classes."""
    shape: Any
    """The shape of an input without the batch: a list of numbers, or such lists in the form of the input."""
    targets: Any = None
    """The shape of a target, likewise; null where it is not known."""
    parts: dict[str, list[int]]
    """Examples per class, by part: train, val, test; one number where targets are no classes."""
    prepared: dict[str, Any] = {}
    """How an image becomes the network's input: resize, crop, mean, std; null for what is not done."""
    samples: list[Sample]
    """An image of each of the first classes; empty where examples are no labelled images."""

    def examples(self, part: str) -> int:
        """The number of examples of a part; 0 where it is not recorded."""
        return sum(self.parts.get(part, ()))

    @property
    def test_examples(self) -> int | None:
        """Test examples, where the score is the share of them that are right; else ``None``."""
        return self.examples("test") or None if self.score.name == SHARE else None


class Trainings(Struct, frozen=True, kw_only=True):
    """``trainings.json``: while the found network and others beside it are trained, the settings of all of them."""

    FILE: ClassVar[str] = "trainings.json"
    settings: dict[str, Any]
    """Values by the names of flags."""


class SplitInfo(Struct, frozen=True, kw_only=True):
    """``split.json``: which examples serve for what. A resumed run compares it with the data set."""

    FILE: ClassVar[str] = "split.json"
    train: int
    """Training examples of the search."""
    val: int
    """Validation examples."""
    test: int
    """Test examples."""
    targets_sha256: str | None
    """SHA-256 of all targets in order, as little-endian 64-bit numbers; null where they are read with the inputs."""
    val_rows: list[int] | None
    """Rows of the training set that are validation examples; null where they are a part of their own."""


class Best(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``best.json``: the architecture that the search found."""

    FILE: ClassVar[str] = "best.json"
    arch: ArchLabels
    text: str
    """The architecture as compact text."""
    costs: Costs
    """At the size at which the network is trained."""
    budgets: list[str]
    """The budgets of the search."""
    val: Metrics | None = None
    """On validation examples, with inherited weights; null where the method trains on them."""
    weights: dict[str, list[float]] | None = None
    """Learned weights of the kept options, by choice."""
    warning: str | None = None
    """Why the architecture is hardly a result of the search: ``Method.warning``, or an original that only guesses."""
    scale_to: list[str] | None = None
    """The budgets to which the width was scaled."""


class Provenance(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``net.json``: how the weights of ``net.pt`` were made, where not by plain retraining."""

    FILE: ClassVar[str] = "net.json"
    one_stage: bool = False
    """The weights are those of the search; the network was not retrained."""
    inherit: bool = False
    """The retraining began with the weights of the supernet."""
    target: dict[str, Any] | None = None
    """Flags of the space that differ from those of the search."""
    scale_to: list[str] | None = None
    """The budgets to which the width was scaled."""


class Scored(Struct, frozen=True, kw_only=True):
    """A line of ``archs.jsonl`` or ``random.jsonl``: an architecture with its score on inherited weights."""

    generation: int
    """Generation of the search, from 0. After the last one come, with ``evolve``, those of the earlier run."""
    arch: ArchLabels
    text: str
    """The architecture as compact text."""
    metrics: Metrics
    """On validation examples."""
    costs: Costs


class Finalist(Struct, frozen=True, kw_only=True):
    """A line of ``finalists.jsonl``: one of the best candidates, trained on its own for a while."""

    arch: ArchLabels
    text: str
    """The architecture as compact text."""
    epochs: int
    """Epochs of the training."""
    examples: int
    """Training examples of an epoch."""
    inherited: Metrics
    """On validation examples, with the weights of the supernet."""
    metrics: Metrics
    """On validation examples, after the training."""
    costs: Costs


class MeasuredCandidate(Struct, frozen=True, kw_only=True):
    """A line of ``measured.jsonl``: one of the best candidates, measured whole under a budget of latency."""

    arch: ArchLabels
    text: str
    """The architecture as compact text."""
    metrics: Metrics
    """On validation examples, with the weights of the supernet."""
    table_ms: float
    """Sum of the latency table's entries."""
    rounds_ms: list[float]
    """The median time of each round of measurements."""
    spread_ms: float
    """Interquartile range of the times of a round."""
    within: bool
    """Whether every round keeps the budget."""

    @property
    def slowest_ms(self) -> float:
        """The median of the slowest round, which decides."""
        return max(self.rounds_ms)

    @property
    def measured_ms(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds_ms)


class MeasuredLargest(Struct, frozen=True, kw_only=True):
    """``measured_largest.json``: the largest network, where a budget of latency is in percent of it."""

    FILE: ClassVar[str] = "measured_largest.json"
    table_ms: float
    """Sum of the latency table's entries."""
    measured_ms: float
    """The median of the rounds, as of a candidate."""


class FrontPoint(Struct, frozen=True, kw_only=True):
    """An architecture of a Pareto front."""

    arch: ArchLabels
    text: str
    """The architecture as compact text."""
    metrics: Metrics
    """On validation examples."""
    costs: Costs


class Front(Struct, frozen=True, kw_only=True):
    """``front.json``: the Pareto front of the score against one cost."""

    FILE: ClassVar[str] = "front.json"
    cost: str
    """Name of the cost."""
    hypervolume: float
    """Area between the front and ``reference``, in score times cost."""
    reference: tuple[float, float]
    """The worst score (0 for a share), and the highest cost of the space."""
    points: list[FrontPoint]
    """Cheapest first."""
