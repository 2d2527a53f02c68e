"""A run folder opened where its data are gone: random examples of the same shapes stand in for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from sparsenas.data import Data, Split
from sparsenas.errors import UserError
from sparsenas.job.flag_groups import HERE, DataPlace
from sparsenas.job.folder import NONE, Opened, open_folder, open_task
from sparsenas.job.plugin import Plugin
from sparsenas.nn.tree import Tree
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import DataInfo

EXAMPLES = 64


def open_with_or_without_data(
    path: Path | str, trusted: Iterable[str] = (), place: DataPlace = HERE, objects: Mapping[str, Plugin] = NONE
) -> Opened:
    """An existing run folder, on the CPU. Where its data cannot be read, random examples stand in, and a line says so.

    Raises ``UserError`` for a folder that is none, and where the data cannot be read and their inputs are not one
    tensor of floats, so that nobody knows what random ones should be.
    """
    cpu, trusted = torch.device("cpu"), list(trusted)
    try:
        return open_task(path, cpu, trusted, place, objects=objects)
    except (UserError, OSError) as error:
        run = open_folder(path)
        if place != HERE or (info := _readable(run)) is None or not _is_shape(info.shape) or info.targets is None:
            raise
        opened = open_task(path, cpu, trusted, objects={**objects, "data": Plugin.of(lambda: random_data(info))})
        RunLogger(run).say(f"{run.path}: the data cannot be read, random inputs stand in for them: {error}")
        return opened._replace(has_data=False)


def random_data(info: DataInfo) -> Data:
    """Random examples, always the same, of the shapes of the data."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(EXAMPLES, *info.shape, generator=generator)
    part = Split(inputs, _zeros(info.targets, torch.long if info.classes else torch.float32))
    return Data(tuple(info.classes), part, part, part)


def _readable(run: Run) -> DataInfo | None:
    try:
        return run.find(DataInfo)
    except UserError:
        return None


def _is_shape(shapes: Any) -> bool:
    return isinstance(shapes, list) and all(isinstance(side, int) for side in shapes)


def _zeros(shapes: Any, dtype: torch.dtype) -> Tree:
    """Targets of nothing, in the form of a tree of shapes."""
    if _is_shape(shapes):
        return torch.zeros(EXAMPLES, *shapes, dtype=dtype)
    if isinstance(shapes, dict):
        return {name: _zeros(one, dtype) for name, one in shapes.items()}
    return [_zeros(one, dtype) for one in shapes]
