"""The found architecture of a run folder, and its networks."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from pathlib import Path

import torch
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.choice import Choices
from sparsenas.core.derive import derive
from sparsenas.core.gate import Gate, Gates
from sparsenas.errors import UserError
from sparsenas.job.api.words import in_python
from sparsenas.job.stand_in import open_with_or_without_data
from sparsenas.job.task import Task
from sparsenas.rundir.folder import Run
from sparsenas.rundir.networks import NET, SUPERNET, provenance
from sparsenas.rundir.records import Best
from sparsenas.rundir.tensors import LOAD_ERRORS


@in_python
def load(run: Path | str, trust_plugins: Iterable[str] = ()) -> nn.Module:
    """The trained network of a finished run, as an ordinary module in eval mode. Raises ``UserError`` without one.

    ``trust_plugins`` names the space and the data of the run, one or several, as ``package.module:callable``, if they
    are your own.
    """
    if not isinstance(run, str | Path):
        raise UserError(f"expected a run folder, got {type(run).__name__}; a Found has network()")
    opened = open_with_or_without_data(run, [trust_plugins] if isinstance(trust_plugins, str) else list(trust_plugins))
    return trained(opened.run, opened.task).eval()


def found(run: Run, choices: Choices) -> Arch:
    """The architecture that the search found. Raises ``UserError`` when there is none yet."""
    try:
        return Arch.from_json(choices, run.read(Best, "search").arch)
    except UserError as error:
        raise UserError(str(error) if str(run.path) in str(error) else f"{run / Best.FILE}: {error}") from error


def inherited_gates(run: Run, arch: Arch) -> Gates:
    """How an architecture runs on the supernet's weights: the found one with the weights learned for its options."""
    best = run.find(Best)
    weights = best.weights or {} if best is not None and best.arch == arch.to_json() else {}
    for name, values in weights.items():
        if len(values) != len(arch.get(name, ())) or not all(map(isfinite, values)):
            raise UserError(f"{run / Best.FILE}: expected a weight for each option kept of {name}, got others")
    return {n: Gate(p, torch.tensor(weights[n]) if n in weights else None) for n, p in arch.items()}


def trained_supernet(run: Run, task: Task) -> nn.Module:
    """The supernet of ``supernet.pt``. Raises ``UserError`` when there is none or it is damaged."""
    net = task.network("supernet")
    run.restore(SUPERNET, net=net)
    return net


def inherited(run: Run, task: Task, arch: Arch) -> nn.Module:
    """The plain network of an architecture on the supernet's weights. Raises ``UserError``."""
    return derive(trained_supernet(run, task), inherited_gates(run, arch))


def trained(run: Run, task: Task) -> nn.Module:
    """The network of ``net.pt``. Raises ``UserError`` when there is none or it is not that of ``best.json``."""
    run.need(NET, "retrain")
    arch = found(run, task.choices)
    weights = inherited_gates(run, arch) if provenance(run).one_stage else None
    net = task.plain(arch, "load", weights)
    state = run.load(NET)
    try:
        net.load_state_dict(state)
    except LOAD_ERRORS as error:
        raise UserError(f"{run / NET}: expected the weights of the network in best.json, got others") from error
    for name, value in net.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise UserError(f"{run / NET}: expected finite weights, got NaN or infinity in {name}")
    return net
