"""The flags of the commands that search or train; ``config.yaml`` keeps those of a search."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError, check_at_least
from sparsenas.job.flag_groups import (
    AS_IN_THE_RUN,
    AcceleratorFlags,
    DataPlace,
    FolderFlags,
    LoggerFlags,
    MethodFlags,
    MovedFlags,
    ProblemFlags,
    ProcessFlags,
    RetrainingFlags,
    ScoreOrder,
    SupernetFlags,
    TrustFlags,
)
from sparsenas.job.flags.saved import unsaved
from sparsenas.job.plugin import Plugin

if TYPE_CHECKING:
    from lightning_fabric import Fabric

PLUGINS = ("space", "data", "objective", "method")
LEAST = {"seed": 0, "random_search": 0, "baselines": 0, "threads": 0, "num_nodes": 1, "checkpoint_seconds": 0}
"""Lowest legal values."""
SEEDS = 2**63
LISTS = ("budget", "cost", "column", "scale_to", "compare", "logger")
"""Flags that may be repeated; in Python one text, or one cost, is taken for a list of one."""


@dataclass(frozen=True, kw_only=True)
class SavedFlags(SupernetFlags, ProblemFlags):
    """The flags that every command reads from a run folder."""


@dataclass(frozen=True, kw_only=True)
class SearchFlags(
    TrustFlags, ProcessFlags, AcceleratorFlags, SupernetFlags, MethodFlags, ProblemFlags, LoggerFlags, FolderFlags
):
    """The flags of ``sparsenas search``."""

    out: Path = unsaved(Path("runs/search"))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class RunFlags(
    TrustFlags,
    ProcessFlags,
    AcceleratorFlags,
    RetrainingFlags,
    SupernetFlags,
    MethodFlags,
    ProblemFlags,
    LoggerFlags,
    FolderFlags,
):
    """The flags of ``sparsenas run``."""

    baselines: int = 8
    int8: bool = False
    """Export the network with 8-bit weights and activations as well, to net.int8.onnx."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class EvolveFlags(TrustFlags, AcceleratorFlags, MovedFlags, MethodFlags, FolderFlags):
    """The flags of ``sparsenas evolve``."""

    out: Path = unsaved(Path("runs/evolved"))
    method: Plugin = Plugin("spos")
    """Search method; its flags are not those of the run. By default the run's where it searches supernets, else spos;
    with --pareto spos."""
    run: Path
    """Run folder with the supernet."""
    budget: list[str] = field(default_factory=list)
    """Hard limit on a cost of the final network, such as flops<=330e6, params>=1e5, or flops<=50% of the largest
    network's, in place of the run's own. Repeatable."""
    cost: list[str] = field(default_factory=list)
    """Cost to count as well as those of the run: peak_memory, bytes, or a function as package.module:callable.
    Repeatable."""
    score: ScoreOrder = unsaved(AS_IN_THE_RUN)
    """How scores are compared, where it is not as in the run."""
    threads: int = 0
    """CPU threads (0 = those of the run)."""
    pareto: str = ""
    """Cost, such as flops. Searches the whole Pareto front of accuracy and this cost; front.json keeps it."""

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class RetrainFlags(TrustFlags, ProcessFlags, AcceleratorFlags, MovedFlags, LoggerFlags, RetrainingFlags):
    """The flags of ``sparsenas retrain``."""

    run: Path
    """Run folder of a search."""
    threads: int = 0
    """CPU threads (0 = those of the run)."""
    arch: str = ""
    """Architecture to train in place of the found one, which it then counts as: compact text as in archs.jsonl and the
    report, JSON by labels, or full."""
    target: dict[str, Any] = field(default_factory=dict)
    """Flags of the space that differ in the final network, in place of those given to the search."""
    no_training: bool = False
    """Keep the weights of the search, with the learned weights of the options folded in. Nothing is trained."""
    restart: bool = False
    """Begin a retraining that was interrupted anew, with the flags that are given now."""

    def __post_init__(self) -> None:
        check(self)


def check(flags: object) -> None:
    """Raises ``UserError`` for a value out of range; names and single limits given in Python are taken as well."""
    values = vars(flags)
    for name, value in [*values.items()]:
        if name in PLUGINS and not isinstance(value, DataPlace):
            object.__setattr__(flags, name, _plugin(name, value))
        if name in LISTS and (isinstance(value, str) or callable(value)):
            object.__setattr__(flags, name, [value])
    check_at_least(values, LEAST)
    if values.get("seed", 0) >= SEEDS:
        raise UserError(f"seed: expected < 2**63, got {values['seed']}")


def _plugin(name: str, value: object) -> Plugin:
    try:
        return Plugin.of(value)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def fabric_of(flags: SearchFlags | RunFlags | RetrainFlags) -> Fabric:
    """Starts the devices that the flags ask for. Raises ``UserError`` when the machine does not have them."""
    return Device(flags.accelerator, flags.devices, flags.num_nodes, flags.precision, flags.threads).fabric()
