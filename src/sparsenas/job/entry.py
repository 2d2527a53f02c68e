"""What a user brings is tried where it enters: a batch of the data, through the network, to the objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs.fit import check_fit
from sparsenas.data import Data, Examples, Split
from sparsenas.data.finite import first_not_finite
from sparsenas.data.lazy import LazyExamples, first_wrong, own_generators
from sparsenas.errors import UserError, told
from sparsenas.job.plugin import Plugin
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.cpu_conv import CPU_CONVOLUTIONS
from sparsenas.nn.function_overrides import FunctionOverrides
from sparsenas.nn.tree import Tree, call, map_tensors, shapes, tensors
from sparsenas.objectives import Objective
from sparsenas.objectives.checks import check_counts, check_loss, check_mean, check_metrics, check_names
from sparsenas.objectives.objective import LOSS
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.training.loss import main_output

EXAMPLES = 4
"""Examples of the batch."""
ARCHS = 2
"""Sampled architectures that run it."""


def admitted(space: Plugin, net: nn.Module, data: Data, objective: Objective, fits: bool = False) -> Data:
    """The data as the network can take it, once everything fits together.

    A batch runs through the network under sampled architectures, forward and backward, in train and in eval mode. Where
    it runs only if its images do not lie with their channels last in memory, they do not. The network is changed.
    Options that no sampled architecture has are tried too, unless it is known that all of them fit.
    Raises ``UserError``.
    """
    _tried(f"--space {space.name}: a copy of the network", lambda: deep_copy(net))
    batch = next(data.train.subset(torch.arange(min(EXAMPLES, len(data.train)))).batches(EXAMPLES), None)
    if batch is None:  # all of them are unreadable images, which are skipped
        return data
    with own_generators(), torch.enable_grad():
        failure = _failure(space, net, data, objective, batch)
        if failure is not None and data.channels_last and any(x.dim() == 4 for x in tensors(batch.inputs)):
            plain = replace(data, channels_last=False)
            if _failure(space, net, plain, objective, batch) is None:
                return plain
    if failure is not None and isinstance(net, OpenedNetwork):
        _check_shapes(net, data, failure)
    if failure is not None or not fits:
        check_fit(net, data.shape, f"--space {space.name}: ", failure)
    if failure is not None:
        raise failure
    return data


def _check_shapes(net: OpenedNetwork, data: Data, failure: UserError) -> None:
    """Raises ``UserError`` where examples that do not run have another shape than the one that was opened."""
    given, got = ([tuple(x.shape[1:]) for x in tensors(tree)] for tree in (net.example, data.example))
    if given and given != got:
        wanted, found = (", ".join(map(str, one)) for one in (given, got))
        expected = f"expected examples of shape {wanted}, as open was given, got {found}"
        raise UserError(f"--data: {expected}; {failure}") from failure


def checked_targets(data: Data, objective: Objective) -> Data:
    """The data, whose known targets all fit the objective; others are checked as they are read.

    Raises ``UserError``.
    """

    def checked(name: str, part: Examples) -> Examples:
        if part.targets is not None:
            try:
                objective.check_targets(part.targets)
            except UserError as error:
                wrong = first_wrong(part.targets, objective.check_targets)
                raise UserError(f"{error} (example {wrong} of the {name} part)") from error
        return replace(part, check=objective.check_targets) if isinstance(part, LazyExamples) else part

    train, val = checked("training", data.train), checked("validation", data.val)
    return replace(data, train=train, val=val, test=checked("test", data.test))


def _failure(space: Plugin, net: nn.Module, data: Data, objective: Objective, batch: Split) -> UserError | None:
    """Why a batch does not run through the network."""
    net, rng = _placed(net, data), np.random.default_rng(0)
    torch.default_generator.manual_seed(0)
    for _ in range(ARCHS):
        arch = Arch.sample(choices(net), rng)
        set_gates(net, arch.gates())
        try:
            _run(f"--space {space.name}: architecture {arch.text()}", net, data, objective, batch)
        except UserError as error:
            return error
    return _part_failure(space, net.eval(), data)


def _part_failure(space: Plugin, net: nn.Module, data: Data) -> UserError | None:
    """Why an input like those of another part than the training part does not run through the network."""
    for name, part in (("training", data.train), ("validation", data.val), ("test", data.test)):
        try:
            x = data.prepared(part.example)
            with torch.no_grad():
                _tried(f"--space {space.name}: inputs {shapes(x)} of the {name} part", lambda x=x: call(net, x))  # type: ignore[misc]
            _check_finite(name, part, net, data)
        except UserError as error:
            return error
    return None


def _check_finite(name: str, part: Examples, net: nn.Module, data: Data) -> None:
    """Raises ``UserError`` for an input in memory with NaN or infinity, unless the network makes numbers of it."""
    if not isinstance(part, Split) or (row := first_not_finite(part.inputs)) is None:
        return
    with torch.no_grad():
        output = call(net, data.prepared(part.subset(torch.tensor([row], device=part.device)).inputs))
    if first_not_finite(main_output(output)) is not None:
        raise UserError(f"--data: expected finite inputs, got NaN or infinity (example {row} of the {name} part)")


def _placed(net: nn.Module, data: Data) -> nn.Module:
    """The network on the device of the data, with its weights in the layout of the data."""
    net = net.to(data.device)
    for parameter in net.parameters():
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    return data.laid_out_weights(net)


def _run(where: str, net: nn.Module, data: Data, objective: Objective, batch: Split) -> None:
    """A step on a batch, then the batch and its first example in eval mode. Raises ``UserError``."""
    x = _tried(f"{where}: the data's augmentation", lambda: data.prepared(batch.inputs, augment=True))
    with FunctionOverrides(CPU_CONVOLUTIONS):
        output = _tried(f"{where}, training on inputs {shapes(x)}", lambda: main_output(call(net.train(), x)))
    _checked(where, objective.check, output, batch.targets)
    loss = _tried(f"{where}: the objective", lambda: objective.training_loss(output, batch.targets, 0.0))
    _checked(where, check_loss, loss, output)
    if not bool(torch.isfinite(loss.detach()).all()):
        raise UserError(f"{where}: expected a finite loss of the first examples, got {loss.item()}{_hint(x)}")
    _tried(f"{where}: the gradient of the loss", loss.backward)
    net.zero_grad(set_to_none=True)
    with torch.no_grad():
        for part in (batch, batch.subset(torch.arange(1, device=batch.device))):
            _evaluate(where, net.eval(), data, objective, part)


def _evaluate(where: str, net: nn.Module, data: Data, objective: Objective, batch: Split) -> None:
    x = data.prepared(batch.inputs)
    output = _tried(f"{where}, evaluating {len(batch)} inputs {shapes(x)}", lambda: main_output(call(net, x)))
    _checked(f"{where}, evaluating {len(batch)} inputs", objective.check, output, batch.targets)
    _check_objective(where, objective, output, batch.targets)


def _check_objective(where: str, objective: Objective, output: Tree, targets: Tree) -> None:
    """Tries the loss and the metrics of an objective, which may be the user's. Raises ``UserError``."""
    twice = [map_tensors(lambda leaf: torch.cat([leaf, leaf]), tree) for tree in (output, targets)]
    losses = _tried(f"{where}: the objective", lambda: [objective.loss(output, targets), objective.loss(*twice)])
    _tried(f"{where}: the objective", lambda: check_mean(*losses))
    counts = _tried(f"{where}: the counts", lambda: [objective.counts(output, targets), objective.counts(*twice)])
    _checked(where, check_counts, *counts)
    weight = float(objective.weight(targets))
    found = _tried(f"{where}: the metrics", lambda: objective.metrics(counts[0].cpu().double(), weight))
    _checked(where, check_metrics, found, LOSS)
    result = _tried(f"{where}: the metrics", lambda: objective.result(objective.sums(output, targets)))
    named = {"score": [objective.score], "higher": objective.higher, "shares": objective.shares}
    check_names(type(objective).__name__, named, result)
    _tried(f"{where}: the confusion matrix", lambda: objective.confusion(output, targets))


def _checked(where: str, check: Callable[..., None], *values: Any) -> None:
    """Runs a check; its ``UserError`` says where."""
    try:
        check(*values)
    except UserError as error:
        raise UserError(f"{error} ({where})") from error


def _tried(where: str, run: Callable[[], Any]) -> Any:
    """The result of a call into code that may be anybody's. Raises ``UserError`` for every error."""
    try:
        return run()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{where}: {told(error)}") from error


def _hint(x: Tree) -> str:
    """Which example makes a loss infinite, if an input is."""
    row = first_not_finite(x)
    return "" if row is None else f": the input of training example {row} has NaN or infinity"
