"""What one run is about, built from its flags: data, space, costs, limits and devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from msgspec import convert
from msgspec.structs import asdict
from torch import nn

from sparsenas.core.arch import Arch, space_size
from sparsenas.core.choice import Choices
from sparsenas.core.derive import derive
from sparsenas.core.gate import Gate, Gates, choices
from sparsenas.costs import COSTS, Budget, Cost, CostTable, Limits, parse_budgets
from sparsenas.costs.latency import LATENCY, LatencyTable
from sparsenas.data import Data
from sparsenas.data.fingerprint import changed, split, summary
from sparsenas.distributed.collectives import broadcast_from_rank0
from sparsenas.errors import UserError
from sparsenas.job.flags import from_config
from sparsenas.job.plugin import Plugin
from sparsenas.job.space_facts import reach
from sparsenas.rundir.config import CONFIG, begin_run, has_begun, read_config
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.provenance import NET, provenance
from sparsenas.rundir.records import Best, DataInfo, Provenance, SpaceInfo, SplitInfo
from sparsenas.rundir.seeds import seed_of
from sparsenas.rundir.tensors import LOAD_ERRORS
from sparsenas.searching.config import Scoring
from sparsenas.searching.eval_batches import EvalBatches, make_eval_batches
from sparsenas.searching.population_evaluator import Scorer
from sparsenas.timing import read_table, write_table

LATENCY_FILE = "latency.json"
EVAL_IMAGES = "exam"
"""Purpose of the seed that picks the images candidates are scored on. Another word would pick other images."""


@dataclass(frozen=True)
class RunFlags:
    """The flags of a run that later commands need."""

    space: Plugin
    data: Plugin
    budget: list[str]
    seed: int
    score: Scoring
    target: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """Everything that the stages of a run share."""

    run: Run
    logger: RunLogger
    space: Plugin
    target: Plugin
    """The space at the size at which found networks are trained; costs and budgets are those of that size."""
    data: Data
    choices: Choices
    limits: Limits
    seed: int
    latency: LatencyTable | None = None

    def network(self, purpose: str, space: Plugin | None = None) -> nn.Module:
        """A supernet, of ``target`` say, with fresh weights that follow from the seed and the purpose."""
        torch.manual_seed(seed_of(self.seed, purpose))
        net = build_space(space or self.space, self.data)
        return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def plain(self, arch: Arch, purpose: str, weights: Gates | None = None) -> nn.Module:
        """The network of an architecture with fresh weights, at the target's size; ``weights`` are its options'."""
        return derive(self.network(purpose, self.target), weights or arch.gates())

    def costs(self, arch: Arch) -> dict[str, float]:
        """The exact costs of an architecture."""
        return self.limits.table.exact(arch)

    def eval_batches(self, scoring: Scoring) -> EvalBatches:
        """The images candidates are scored on."""
        seed = seed_of(self.seed, EVAL_IMAGES)
        return make_eval_batches(self.data, scoring.calibration, scoring.val, scoring.batch, seed)

    def scorer(self, net: nn.Module, scoring: Scoring) -> Scorer:
        """Scores candidates on the weights of a supernet."""
        return Scorer(net, self.eval_batches(scoring), scoring.cache_memory * 2**20)

    def alone(self) -> Task:
        """The same task for the first process only, once the others have nothing more to do."""
        run = Run(self.run.path)
        return replace(self, run=run, logger=RunLogger(run))

    def begin(self, config: Mapping[str, Any], resume: bool) -> None:
        """Makes the run folder, or checks that the one to be resumed is this run's. Raises ``UserError``."""
        if has_begun(self.run):
            if not resume:
                raise UserError(
                    f"--out {self.run.path}: expected a new folder, this one has a run; --resume continues it"
                )
            _check_choices(self.run, self.choices)
            self.check_split()
            return
        self.run.create()
        self.run.write(convert(split(self.data), SplitInfo), indent=None)
        self.run.write(self._space_info())
        self.run.write(convert(summary(self.data), DataInfo))
        if self.latency is not None:
            self.run.do(partial(write_table, self.run / LATENCY_FILE, self.latency))
        begin_run(self.run, config["command"], {name: value for name, value in config.items() if name != "command"})

    def _space_info(self) -> SpaceInfo:
        return SpaceInfo(
            shape=list(self.data.shape),
            classes=list(self.data.classes),
            size=space_size(self.choices),
            choices=list(self.choices.values()),
            range={cost: (low, high) for cost, (low, high) in reach(self.limits.table).items()},
        )

    def check_split(self) -> None:
        """Raises ``UserError`` when the images, or what they serve for, are not those that the run began with."""
        saved = self.run.find(SplitInfo)
        if saved is not None and (told := changed(asdict(saved), self.data)):
            raise UserError(f"{self.run / saved.FILE}: the data set has changed since this run began: {told}")


def make_task(
    out: Path | str,
    space: Plugin,
    data: Plugin,
    budget: Sequence[str],
    seed: int,
    device: torch.device,
    latency: Path | str = "",
    target: Mapping[str, Any] | None = None,
) -> Task:
    """Builds all that a run needs and checks that its budgets can be met. Raises ``UserError``, before any training.

    ``latency`` is the file of a latency table, which a run that has begun keeps a copy of; ``target`` are the flags of
    the space that differ in the network that is trained in the end, to which the budgets apply.
    """
    run = Run(out, broadcast_from_rank0)
    source: Path | str = run / LATENCY_FILE if run.has(LATENCY_FILE) else "" if run.has(CONFIG) else latency
    table = read_table(source) if source else None
    budgets = parse_budgets(budget, COSTS if table is None else [*COSTS, LATENCY])
    images = build_data(data, seed).to(device)
    net = build_space(space, images)
    questions = choices(net)
    if not questions:
        raise UserError(f"--space {space.name}: expected a network with at least one choice, found none")
    final = Plugin(space.name, {**space.flags, **(target or {})})
    limits = limits_at(final, images, questions, budgets, table)
    return Task(run, RunLogger(run), space, final, images, questions, limits, seed, table)


def limits_at(
    target: Plugin, data: Data, questions: Choices, budgets: Sequence[Budget], latency: LatencyTable | None
) -> Limits:
    """Budgets over the costs of the space at the target's size. Raises ``UserError`` when it asks other questions."""
    net = build_space(target, data)
    if choices(net) != questions:
        raise UserError("--target: expected flags that leave the choices of the space as they are, such as its depth")
    flags = target.words("space", shape=data.shape, classes=len(data.classes))
    return Limits(CostTable(net, data.shape, costs_with(latency, flags)), budgets)


def costs_with(table: LatencyTable | None, flags: str) -> Mapping[str, Cost]:
    """What is counted, and measured latency where there is a table of it; ``flags`` name the space."""
    if table is None:
        return COSTS
    return {**COSTS, LATENCY: table.cost(f"`sparsenas latency {flags} --out {table.source}` adds it")}


def open_task(run: Path | str, device: torch.device, how: Provenance | None = None) -> tuple[Task, dict[str, Any]]:
    """The task of an existing run folder, and its flags. Raises ``UserError`` when it is not one.

    The target and the limits of ``how``, by default of ``net.json``, replace the target and the budgets of the flags.
    """
    folder = Run(run, broadcast_from_rank0)
    config, how = read_config(folder), provenance(folder) if how is None else how
    scaled = {"target": how.target, "budget": how.scale_to}
    changed = {name: value for name, value in scaled.items() if value is not None}
    flags = from_config(RunFlags, {**config, **changed}, folder / CONFIG)
    task = make_task(run, flags.space, flags.data, flags.budget, flags.seed, device, target=flags.target)
    _check_choices(folder, task.choices)
    return task, config


def build_data(data: Plugin, seed: int) -> Data:
    """Calls the data set with the seed of its split. Raises ``UserError``."""
    images = data.build("data", seed=seed)
    if not isinstance(images, Data):
        raise UserError(f"--data {data.name}: expected it to return a sparsenas.data.Data, got {type(images).__name__}")
    return images


def build_space(space: Plugin, data: Data) -> nn.Module:
    """Calls the space, with the shape and classes of the data where it takes them. Raises ``UserError``."""
    net = space.build("space", shape=data.shape, classes=len(data.classes))
    if not isinstance(net, nn.Module):
        raise UserError(f"--space {space.name}: expected it to return an nn.Module, got {type(net).__name__}")
    return net


def found(task: Task) -> Arch:
    """The architecture a search found. Raises ``UserError`` when there is none yet."""
    return Arch.from_json(task.choices, task.run.read(Best, "search").arch)


def inherited_gates(task: Task, arch: Arch) -> Gates:
    """How an architecture runs on the supernet's weights: the found one with the weights learned for its options."""
    best = task.run.find(Best)
    weights = best.weights or {} if best is not None and best.arch == arch.to_json() else {}
    for name, values in weights.items():
        if len(values) != len(arch.get(name, ())) or not all(map(isfinite, values)):
            raise UserError(f"{task.run / Best.FILE}: expected a weight for each option kept of {name}, got others")
    return {n: Gate(p, torch.tensor(weights[n]) if n in weights else None) for n, p in arch.items()}


def load(run: Path | str) -> nn.Module:
    """The trained network of a finished run, as an ordinary module in eval mode. Raises ``UserError`` without one."""
    return trained(open_task(run, torch.device("cpu"))[0]).eval()


def trained(task: Task) -> nn.Module:
    """The network of ``net.pt``. Raises ``UserError`` when there is none or it is not that of ``best.json``."""
    task.run.need(NET, "retrain")
    arch = found(task)
    weights = inherited_gates(task, arch) if provenance(task.run).one_stage else None
    net = task.plain(arch, "load", weights)
    state = task.run.load(NET)
    try:
        net.load_state_dict(state)
    except LOAD_ERRORS as error:
        raise UserError(f"{task.run / NET}: expected the weights of the network in best.json, got others") from error
    return net


def _check_choices(run: Run, questions: Choices) -> None:
    """Refuses a run folder of another space."""
    saved = run.read(SpaceInfo, "search").choices
    if saved != list(questions.values()):
        raise UserError(
            f"{run.path}: this run folder is of another space: it has choices {_names(c.name for c in saved)}, "
            f"the space has {_names(questions)}"
        )


def _names(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f", ... ({len(names)})" if len(names) > 4 else "")
