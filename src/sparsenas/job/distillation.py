"""Who teaches a network: the supernet's largest, the one that was opened, a torch.export file, one of the user's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from sparsenas.costs.ends import smallest_and_largest
from sparsenas.errors import UserError, first_line
from sparsenas.job.lookup import OBJECT
from sparsenas.job.stages.evaluate import recalibrated
from sparsenas.job.task import Task
from sparsenas.methods import Method
from sparsenas.nn.clone import deep_copy
from sparsenas.nn.quiet import quiet
from sparsenas.nn.tree import Tree, call
from sparsenas.opening.importing import import_callable
from sparsenas.rundir.config import CONFIG, has_begun
from sparsenas.rundir.folder import Run
from sparsenas.rundir.results import ORIGINAL
from sparsenas.searching.config import Scoring
from sparsenas.training.recipe import Recipe

SANDWICH, LARGEST = "sandwich", "largest"
OWN = (LARGEST, ORIGINAL)
"""Teachers that are networks of the run itself."""
FLAG = "--retrain.distill"
EXPORTED = ".pt2"
BROKEN = (RuntimeError, ValueError, TypeError, OSError, KeyError, AttributeError, IndexError)
Teacher: TypeAlias = Callable[[Tree], Tree]
"""From inputs of the network to outputs."""


def check_sandwich(distill: str, name: str, method: Method) -> None:
    """Raises ``UserError`` unless a supernet can be distilled as ``--search.distill`` says."""
    if distill not in ("", SANDWICH):
        raise UserError(f"--search.distill: expected {SANDWICH}, got {distill}; others teach in the retraining only")
    if distill and learns(method):
        raise UserError(
            f"--search.distill: expected none, since {name} learns the architecture; {SANDWICH} is for methods that "
            f"sample paths, such as spos; got {distill}"
        )


def learns(method: Method) -> bool:
    """Whether a method learns an architecture, so that no other one runs well on the weights of its supernet."""
    return type(method).final is not Method.final


def check_teacher(recipe: Recipe, task: Task, learned: bool, given: nn.Module | None = None) -> None:
    """Tries the teacher of a retraining on two examples, before anything is trained.

    ``learned`` tells whether the search learns the architecture, ``given`` is the teacher where it is an object of
    Python. Raises ``UserError``.
    """
    if recipe.distill == LARGEST and learned:
        raise UserError(
            f"{FLAG}: expected another teacher, since the search learns one architecture and no other one runs well on "
            f"the weights of the supernet; got {LARGEST}"
        )
    if recipe.distill == ORIGINAL and task.opened is None:
        raise UserError(f"{FLAG}: expected another teacher, since only an opened network has an {ORIGINAL}")
    if recipe.distill in ("", LARGEST):
        return
    teacher, few = _given(recipe.distill, task, given), task.data.train.subset(torch.arange(2, device=task.data.device))
    for batch in few.batches(2):
        for size in recipe.sizes or (None,):
            try:
                with torch.no_grad():
                    task.objective.check(teacher(task.data.prepared(batch.inputs, size=size)), batch.targets)
            except BROKEN as error:
                raise UserError(f"{FLAG} {recipe.distill}: does not fit the data: {first_line(error)}") from error


def check_teacher_trusted(run: Run, recipe: Recipe, trusted: Collection[str]) -> None:
    """Raises ``UserError`` when a run to resume names a teacher of the user's that is not trusted.

    A run folder may come from somebody else, and teachers are code.
    """
    known = ("", *OWN, *trusted)
    if has_begun(run) and recipe.distill not in known and not recipe.distill.startswith(f"{OBJECT}:"):
        raise UserError(
            f"{run / CONFIG}: the teacher {recipe.distill} is code; to run it, add --trust-plugins {recipe.distill}"
        )


def make_teacher(
    recipe: Recipe, run: Run, task: Task, scoring: Scoring, given: nn.Module | None = None
) -> Teacher | None:
    """The teacher of a retraining, without gradients of its own; ``None`` without one. Raises ``UserError``."""
    if not recipe.distill:
        return None
    if recipe.distill != LARGEST:
        return _given(recipe.distill, task, given)
    _, largest = smallest_and_largest(task.limits.table)
    return partial(call, recalibrated(run, task, largest, scoring))


def _given(distill: str, task: Task, given: nn.Module | None) -> Teacher:
    """A teacher that is there before the search: the network that was opened, or one of the user's."""
    if distill == ORIGINAL:
        return partial(call, task.original())
    module, colon, attribute = distill.partition(":")
    net: Any
    if module == OBJECT:
        net = _object(distill, given)
    elif distill.endswith(EXPORTED):
        net = _exported(Path(distill))
    elif colon:
        net = import_callable(FLAG.removeprefix("--"), distill, module, attribute)()
        net = net.eval() if isinstance(net, nn.Module) else net
    else:
        raise UserError(
            f"{FLAG}: expected {LARGEST}, {ORIGINAL}, FILE{EXPORTED} or package.module:callable, got {distill}"
        )
    if not callable(net):
        raise UserError(f"{FLAG} {distill}: expected a function that returns a network, got {type(net).__name__}")
    return partial(call, net.to(task.data.device) if isinstance(net, nn.Module) else net)


def _object(distill: str, given: nn.Module | None) -> nn.Module:
    """A copy of the object that teaches, in eval mode. Raises ``UserError`` where there is none any more."""
    if given is None:
        raise UserError(
            f"{FLAG}: the teacher was an object of Python ({distill}), which a run folder cannot keep; go on from "
            "Python, with teacher=net"
        )
    return deep_copy(given).eval().requires_grad_(False)


def _exported(path: Path) -> Any:
    """The network of a file of torch.export; it is in eval mode already. Errors of damaged files share no class."""
    if not path.is_file():
        raise UserError(f"{FLAG}: expected a file of torch.export, got {path}, which is none")
    try:
        with quiet():
            return torch.export.load(path).module()
    except Exception as error:
        raise UserError(f"{FLAG} {path}: expected a network of torch.export, got: {first_line(error)}") from error
