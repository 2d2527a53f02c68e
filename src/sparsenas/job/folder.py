"""The run folder of a task: made, resumed or opened again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from msgspec import convert
from msgspec.structs import asdict

from sparsenas.core.arch import MOST_TOLD, space_size
from sparsenas.core.choice import Choice, Choices
from sparsenas.costs.budget import AND, in_percent
from sparsenas.costs.latency import LatencyTable
from sparsenas.data import Data
from sparsenas.data.fingerprint import changed, in_words, split, summary
from sparsenas.distributed.collectives import broadcast_from_rank0, rank
from sparsenas.errors import UserError, told_when_stopped
from sparsenas.job.flag_groups import HERE, DataPlace
from sparsenas.job.flags.saved import check_unchanged, check_whole, flatten, from_config, plain, saved_names
from sparsenas.job.plugin import Plugin
from sparsenas.job.run_flags import SavedFlags
from sparsenas.job.space_code import code_checksum, own_code_of
from sparsenas.job.space_facts import reach
from sparsenas.job.task import Task, make_task
from sparsenas.nn.tree import shapes
from sparsenas.objectives import Objective
from sparsenas.rundir.config import CONFIG, begin_run, has_begun, read_config
from sparsenas.rundir.folder import Run
from sparsenas.rundir.lock import locked
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import SUPERNET, provenance
from sparsenas.rundir.progress import told_if_slow
from sparsenas.rundir.records import Best, DataInfo, Provenance, RunInfo, SpaceInfo, SplitInfo
from sparsenas.rundir.results import Results
from sparsenas.timing import read_table, write_table

LATENCY_FILE = "latency.json"
FIRST = {kind.FILE for kind in (SplitInfo, SpaceInfo, DataInfo, RunInfo)} | {CONFIG, LATENCY_FILE, SUPERNET}
"""What is written before the work begins: nothing of it has to be kept when that fails."""
KEPT = "what was done is kept: --resume continues the run"
"""What a stopped job says whose work has begun."""

NONE: Mapping[str, Plugin] = {}


class Opened(NamedTuple):
    """An existing run folder, with what it is about."""

    run: Run
    task: Task
    flags: SavedFlags
    config: dict[str, Any]
    """All flags of the run, as ``config.yaml`` has them."""
    has_data: bool = True
    """Whether the examples are those of the run, none that stand in for them."""


class Saved(NamedTuple):
    """An existing run folder, with its flags."""

    run: Run
    flags: SavedFlags
    config: dict[str, Any]
    """All flags of the run, as ``config.yaml`` has them."""


def open_folder(path: Path | str) -> Run:
    """A run folder that several processes share."""
    return Run(path, broadcast_from_rank0)


@contextmanager
def new_folder(path: Path) -> Iterator[Run]:
    """The run folder of a job, made if need be and locked. Nothing is left of it by a job that fails before its work.

    Raises ``UserError`` when it cannot be made, or another process works in it.
    """
    run = open_folder(path)
    made = run.do(lambda: [folder for folder in (path, *path.parents) if not folder.exists()])
    run.create()
    try:
        with locked(run):
            before = run.do(lambda: set(os.listdir(path)))
            try:
                with told_when_stopped(KEPT):
                    yield run
            except BaseException as error:
                if rank() == 0 and _remove_first(path, before) and isinstance(error, KeyboardInterrupt):
                    error.args = ("nothing was kept",)
                raise
    finally:
        if rank() == 0:
            _remove_empty(made)


def _remove_first(path: Path, before: Iterable[str]) -> bool:
    """Removes the new files of a folder, unless some are the result of work; whether the folder has no run now."""
    new = set(os.listdir(path)) - set(before)
    if new <= FIRST:
        for name in new:
            (path / name).unlink()
    return not (path / CONFIG).exists()


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def check_resumable(run: Run, config: Mapping[str, Any], resume: bool) -> None:
    """Raises ``UserError`` for a folder that has a run, unless that run is to be resumed and has the same flags."""
    if not has_begun(run):
        if resume:
            RunLogger(run).say(f"--resume: {run.path} has no run, a new one begins")
        return
    if not resume:
        raise UserError(f"--out {run.path}: expected a new folder, this one has a run; --resume continues it")
    saved = read_config(run)
    check_whole(config, saved, run / CONFIG)
    check_unchanged(flatten(config), flatten(saved))


def latency_table(run: Run, file: Path | str) -> LatencyTable | None:
    """The latency table of a run: its own copy once it has begun, before that the file. Raises ``UserError``."""
    if run.has(LATENCY_FILE):
        return read_table(run / LATENCY_FILE)
    return read_table(file) if file and not run.has(CONFIG) else None


def begin(run: Run, task: Task, command: str, config: Mapping[str, Any]) -> None:
    """Makes the run folder, or checks that the one to be resumed is of this space and data. Raises ``UserError``."""
    if has_begun(run):
        check_same_space(run, task)
        check_data(run, task.data)
        for record in (DataInfo, Results):  # damaged ones are told before the work
            run.find(record)
        return
    run.write(convert(split(task.data), SplitInfo), indent=None)
    with told_if_slow(RunLogger(run).say, "prepare: looking for the lowest and highest costs"):
        run.write(_space_info(task))
    run.write(convert({**summary(task.data), "score": _score_info(task.objective)}, DataInfo))
    if task.latency is not None:
        run.do(partial(write_table, run / LATENCY_FILE, task.latency))
    RunLogger(run).say(f"data: {in_words(task.data)}")
    if in_percent(config["budget"]):
        RunLogger(run).say(f"budget {', '.join(config['budget'])}: {', '.join(map(str, task.limits.budgets))}")
    for line in (*task.limits.notes, *(task.opened.notes if task.opened else ())):
        RunLogger(run).say(line)
    space, weights = code_checksum(task.space, task.limits.table.net), task.weights_checksum()
    begin_run(run, command, config, space_sha256=space, weights_sha256=weights, code=own_code_of(config))


def open_task(
    path: Path | str,
    device: torch.device,
    trusted: Iterable[str] = (),
    place: DataPlace = HERE,
    how: Provenance | None = None,
    objects: Mapping[str, Plugin] = NONE,
) -> Opened:
    """An existing run folder; of its plug-ins, ``trusted`` ones may be called. Raises ``UserError`` when it is not one.

    The data are where ``place`` says, and must be those of the run. ``objects`` replace the space, the data or the
    objective of the run. The target and the limits of ``how``, by default of ``net.json``, replace the target and the
    budgets of the flags.
    """
    how = provenance(open_folder(path)) if how is None else how
    run, flags, config = saved_run(path, trusted, place, how, objects)
    task = make_task(
        flags.space,
        flags.data,
        flags.objective,
        _in_numbers(run, flags.budget),
        flags.seed,
        device,
        flags.target,
        latency_table(run, ""),
        flags.cost,
        begun=True,
    )
    if place.root is not None:
        check_data(run, task.data)
    check_same_space(run, task)
    return Opened(run, task, flags, config)


def saved_run(
    path: Path | str,
    trusted: Iterable[str],
    place: DataPlace,
    how: Provenance = Provenance(),  # noqa: B008
    objects: Mapping[str, Plugin] = NONE,
) -> Saved:
    """The flags of an existing run folder, changed as ``open_task`` says. Raises ``UserError`` when it is not one."""
    run = open_folder(path)
    config = _moved(run, read_config(run), place)
    scaled = {"target": how.target, "budget": how.scale_to}
    changes = {name: value for name, value in scaled.items() if value is not None}
    return Saved(run, _flags({**config, **changes}, str(run / CONFIG), trusted, objects), config)


def _moved(run: Run, config: dict[str, Any], place: DataPlace) -> dict[str, Any]:
    """The flags of a run with the data at another place. Raises ``UserError`` where they have none."""
    if place.root is None:
        return config
    data = config.get("data")
    if not isinstance(data, Mapping) or "root" not in data:
        raise UserError(f"--data.root: expected none, since the data of {run.path} have no such flag")
    return {**config, "data": {**data, "root": plain(place.root)}}


def _in_numbers(run: Run, budgets: list[str]) -> list[str]:
    """The budgets of a run; those given in percent as the numbers that its search resolved them to."""
    best = run.find(Best) if in_percent(budgets) else None
    return budgets if best is None else [bound for text in best.budgets for bound in text.split(AND)]


def _flags(config: Mapping[str, Any], file: str, trusted: Iterable[str], objects: Mapping[str, Plugin]) -> SavedFlags:
    """The flags of a run, with ``objects`` in place of what their kinds name in it."""
    check_whole(saved_names(SavedFlags), config, file)
    given = dict[str, Any](objects)
    if "space" in given:
        given["target"] = config.get("target", {})
    named = {name: value for name, value in config.items() if name not in given}
    return replace(from_config(SavedFlags, named, file, trusted), **given)


def check_data(run: Run, data: Data) -> None:
    """Raises ``UserError`` when the images, or their split, are not those that the run began with."""
    saved = run.find(SplitInfo)
    if saved is not None and (told := changed(asdict(saved), data)):
        raise UserError(f"{run / saved.FILE}: the data set has changed since this run began: {told}")


def _space_info(task: Task) -> SpaceInfo:
    return SpaceInfo(
        shape=shapes(task.data.example),
        size=min(space_size(task.choices), MOST_TOLD),
        choices=list(task.choices.values()),
        range={cost: (low, high) for cost, (low, high) in reach(task.limits.table).items()},
    )


def _score_info(objective: Objective) -> dict[str, Any]:
    name = objective.score
    return {"name": name, "higher_is_better": name in objective.higher, "shares": sorted(objective.shares)}


def check_same_space(run: Run, task: Task) -> None:
    """Raises ``UserError`` where the choices of the space are not those of the run; a line tells of other code."""
    saved = {choice.name: choice for choice in run.read(SpaceInfo, "search").choices}
    if told := _difference(saved, task.choices):
        raise UserError(f"{run.path}: the space {task.space.name} has changed since this run began: {told}")
    info = run.read(RunInfo)
    if info.weights_sha256 != task.weights_checksum():
        raise UserError(
            f"{run / RunInfo.FILE}: the weights of the network that was opened have changed since this run began; "
            "expected those of then"
        )
    code = info.space_sha256
    if code is not None and code != code_checksum(task.space, task.limits.table.net):
        RunLogger(run).say(
            f"{run.path}: the code of the space {task.space.name} has changed since this run began; "
            "the weights in the folder were trained with the earlier one"
        )


def _difference(saved: Choices, now: Choices) -> str:
    """The first difference between the choices of a run and of its space, in words; empty where there is none."""
    if gone := saved.keys() - now.keys():
        return f"it has no choice {_names(gone)} any more, but {_names(now.keys() - saved.keys() or now)}"
    if new := now.keys() - saved.keys():
        return f"it has new choices: {_names(new)}"
    for name, choice in saved.items():
        if choice.options != now[name].options:
            options, before = (", ".join(one.options) for one in (now[name], choice))
            return f"the options of its choice {name} are {options}, not {before}"
        if choice != now[name]:
            return f"its choice {name} keeps {_bounds(now[name])} options, not {_bounds(choice)}"
    return ""


def _bounds(choice: Choice) -> str:
    return f"{choice.least} to {choice.most}"


def _names(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:4]) + (f", ... ({len(names)})" if len(names) > 4 else "")
