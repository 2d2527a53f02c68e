"""``results.json``: metrics and latencies of a run's networks."""

from __future__ import annotations

from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import replace

from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import ArchLabels, Costs, Metrics

ORIGINAL = "original"
"""The name of the network that was opened."""


class Evaluation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The found network on one set of examples."""

    split: str
    """The set: test or val."""
    metrics: Metrics
    one_stage: bool = False
    """The weights are those of the search; the network was not retrained."""
    inherit: bool = False
    """The retraining began with the weights of the supernet."""
    recipe: dict[str, Any] | None = None
    """Flags of the retraining, where they are not those of ``config.yaml``."""
    confusion: list[list[int]] | None = None
    """Examples by true class (rows) and predicted class (columns), where there are at most 100 classes."""


class Compared(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another architecture, trained and tested in the same way as the found one."""

    text: str
    """The architecture as compact text."""
    arch: ArchLabels
    costs: Costs
    metrics: Metrics
    """On test examples."""
    name: str = ""
    """As given on the command line; empty for a random architecture."""


class Usage(Struct, frozen=True, kw_only=True):
    """How exported files are called, with an input of zeros."""

    call: str
    """The arguments of ``net.pt2``, as Python code with torch."""
    feeds: str
    """The inputs of ``net.onnx`` by name, as Python code with numpy."""
    outputs: list[str]
    """The names of the outputs of ``net.onnx``."""
    tensor: bool
    """Whether the network returns one tensor."""


class ExportCheck(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The exported files compared with the PyTorch network."""

    examples: int
    """Examples compared."""
    pt2_max_difference: float
    """Largest absolute difference of an output, ``net.pt2``."""
    onnx_max_difference: float
    """Largest absolute difference of an output, ``net.onnx`` in ONNX Runtime."""
    same_predictions: int
    """Examples of which the prediction is the same in ONNX Runtime."""
    onnx_bytes: int | None = None
    """Size of ``net.onnx``."""
    onnx_bytes_as_floats: int | None = None
    """What the size would be with all weights as 32-bit numbers."""
    usage: Usage | None = None
    """How the files are called."""


class OnnxFile(Struct, frozen=True, kw_only=True):
    """An ONNX file, tested and timed in ONNX Runtime."""

    bytes: int
    """Size of the file."""
    metrics: Metrics
    """On all test examples."""
    median_ms: float
    """Median time of a batch."""
    spread_ms: float
    """Interquartile range of the time."""


class Int8Result(Struct, frozen=True, kw_only=True):
    """``net.int8.onnx`` beside ``net.onnx``, both in ONNX Runtime on this device, timed in turn."""

    float32: OnnxFile
    int8: OnnxFile
    calibration: int
    """Training examples that gave the ranges of the activations."""
    device: str
    """Name of the CPU."""
    batch: int
    """Examples in a timed batch."""
    threads: int
    """CPU threads."""

    @property
    def speedup(self) -> float | None:
        """How many times faster int8 is; ``None`` where it is not faster by more than half of both spreads."""
        gain = self.float32.median_ms - self.int8.median_ms
        certain = gain > (self.float32.spread_ms + self.int8.spread_ms) / 2
        return self.float32.median_ms / max(self.int8.median_ms, 1e-9) if certain else None

    @property
    def verdict(self) -> str:
        """Whether int8 is faster, in words."""
        if self.speedup is None:
            return "int8 is not faster on this device"
        return f"int8 is {self.speedup:.2f} times faster on this device"


class MeasuredLatency(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Latency of the found network: by the table, and measured as a whole."""

    table_ms: float
    """Sum of the table's entries."""
    measured_ms: float | None
    """Median; null where this machine is not the table's."""
    spread_ms: float | None
    """Interquartile range."""
    original_ms: float | None = None
    """Median of the network that was opened."""


class TableError(Struct, frozen=True, kw_only=True):
    """How far the sums of the latency table are from the candidates that were measured whole."""

    budget_ms: float
    """The upper bound on latency."""
    networks: int
    """Candidates measured."""
    within: int
    """Those that keep the budget."""
    mean_absolute_percentage_error: float | None
    median_absolute_percentage_error: float | None
    mean_percentage_error: float | None
    """Positive where the sums are too large."""
    rank_correlation: float | None
    """Spearman's; null where it is not defined."""
    kendall_tau: float | None


class Results(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``results.json``."""

    FILE: ClassVar[str] = "results.json"
    inherited: Evaluation | None = None
    """The found network with inherited weights."""
    retrained: Evaluation | None = None
    """The found network with the weights of ``net.pt``."""
    baselines: list[Compared] = []
    """Random architectures of about the same cost."""
    compared: list[Compared] = []
    """Architectures named by ``--compare``."""
    original: Compared | None = None
    """The network that was opened, with the weights it came with."""
    export: ExportCheck | None = None
    int8: Int8Result | None = None
    """The file that ``export --int8`` makes."""
    latency: MeasuredLatency | None = None
    table_error: TableError | None = None
    """Of the candidates that were measured under a budget of latency."""


def results(run: Run) -> Results:
    """The results so far. Raises ``UserError`` where the file is damaged."""
    return run.find(Results) or Results()


def update_results(run: Run, **changes: Any) -> None:
    """Replaces fields of ``results.json``; ``None`` or an empty list removes one."""
    before = results(run)
    after = replace(before, **changes)
    if after != before:
        run.write(after)
