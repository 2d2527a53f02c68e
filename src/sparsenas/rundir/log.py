"""The lines of ``log.jsonl``; ``event`` is the kind of a line."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

LOG = "log.jsonl"


class EpochEnd(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag="epoch"):
    """An epoch of training has ended."""

    stage: str
    """supernet, retrain, baseline1, ..."""
    epoch: int
    """From 0."""
    epochs: int
    """Epochs of the whole stage."""
    step: int
    """Training steps since the stage began."""
    lr: float
    """Learning rate of the last step."""
    metrics: dict[str, float]
    """Mean training loss and other metrics of the epoch, by name."""
    examples_per_s: float
    """Training examples per second, all processes together."""
    method: dict[str, Any] = {}
    """Facts of the search method's own (``Method.facts``), for programs that know the method."""
    figures: dict[str, dict[str, float]] = {}
    """Numbers of the search method by quantity and name (``Method.figures``); the report has a chart per quantity."""
    summary: str = ""
    """The state of the search in words (``Method.summary``), for the report."""


class StageEnd(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag="done"):
    """A stage has ended."""

    stage: str
    seconds: float
    """Duration, with that of processes that were interrupted."""
    peak_memory_mib: int | None = None
    """Largest resident memory of the process so far, in MiB; null where the system does not tell."""
    evaluations: int | None = None
    """Architectures scored."""
    data_passes: int | None = None
    """Passes over the validation examples."""
    whole: bool = False
    """Whether duration and passes are of the whole stage; in older folders they count from where it was resumed."""


class Note(Struct, frozen=True, kw_only=True, tag_field="event", tag="note"):
    """A message that was printed for the user."""

    stage: str
    message: str


LogLine = EpochEnd | StageEnd | Note
