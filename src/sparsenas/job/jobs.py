"""The jobs of the command line: run, search, evolve, retrain. Each leaves its results in a run folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from sparsenas.costs.budget import check_cost
from sparsenas.distributed.collectives import rank
from sparsenas.distributed.fabric import Device
from sparsenas.errors import CONTINUES, UserError, check_extra, check_installed, told_when_stopped
from sparsenas.job.closing import say_found, say_if_worse, say_next
from sparsenas.job.distillation import check_teacher, check_teacher_trusted, learns, make_teacher
from sparsenas.job.flags.saved import plain, to_config
from sparsenas.job.folder import (
    LATENCY_FILE,
    NONE,
    Opened,
    begin,
    check_data,
    check_resumable,
    check_same_space,
    latency_table,
    new_folder,
    open_folder,
    open_task,
    saved_run,
)
from sparsenas.job.plugin import Plugin
from sparsenas.job.run_flags import EvolveFlags, RetrainFlags, RunFlags, SearchFlags, fabric_of
from sparsenas.job.settings import check_settings
from sparsenas.job.sizes import tell_of_enlarged, tell_of_sizes
from sparsenas.job.stages.choose import choose_stage
from sparsenas.job.stages.compare import compare_stages, forget_networks, named, tell_trainings, trainings
from sparsenas.job.stages.evaluate import test_trained
from sparsenas.job.stages.evolve import scoring_again, search_again
from sparsenas.job.stages.finalists import FinalistTrainer, check_finalists
from sparsenas.job.stages.finish import finish, summary
from sparsenas.job.stages.int8 import check_int8
from sparsenas.job.stages.measured import check_measured
from sparsenas.job.stages.retrain import NetworkTrainer, retrain_stage
from sparsenas.job.stages.scale import recount, scale_stage
from sparsenas.job.stages.search import build_method, make_method, search_stage
from sparsenas.job.stages.truth import table_of, tell_truth
from sparsenas.job.task import Task, make_task
from sparsenas.job.trained import trained_supernet
from sparsenas.job.width_fit import check_scale_to, check_target
from sparsenas.methods import Method
from sparsenas.reporting import report
from sparsenas.rundir.config import has_begun, threads_of
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.folder import Run
from sparsenas.rundir.lock import locked
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.loggers import attach_loggers, check_loggers
from sparsenas.rundir.networks import NET, SUPERNET
from sparsenas.rundir.progress import told_if_slow
from sparsenas.rundir.records import ARCHS, Best, Provenance, Trainings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

CHARTS = "plotly"
"""The package of the report's charts, which is imported at the end."""


def run_job(flags: RunFlags, teacher: nn.Module | None = None) -> None:
    """The whole job: search, retrain, evaluate, export, report; ``teacher`` is one of Python. Raises ``UserError``."""
    check_installed(CHARTS)
    check_extra("onnx", "run")
    check_loggers(flags.logger)
    fabric = fabric_of(flags)
    with new_folder(flags.out) as run:
        task, method = _prepare(run, flags, fabric)
        if flags.int8:
            check_int8(task, flags.score)
        known = table_of(task, flags.table, flags.column)
        tell_of_sizes(run, "retrain", flags.retrain, task.data)
        named(task, flags.compare)
        check_teacher_trusted(run, flags.retrain, flags.trust_plugins)
        check_teacher(flags.retrain, task, learns(method), teacher)
        if flags.scale_to:
            _refuse_inherited(flags, "--scale-to")
            _check_scale_to(task, method, flags)
        elif flags.target:
            _refuse_inherited(flags, "--target")
        begin(run, task, "run", to_config(flags))
        attach_loggers(run, flags.logger)
        if not run.has(Best.FILE):
            tell_trainings(run, flags.retrain, flags.baselines, flags.compare, method.one_stage)
        _search(run, task, method, fabric, flags)
        tell_truth(run, task, known)
        task = scale_stage(run, task, flags.scale_to) if flags.scale_to else task
        taught = make_teacher(flags.retrain, run, task, flags.score, teacher)
        every, inherit = flags.checkpoint_seconds, _inherits(flags, task)
        trainer = NetworkTrainer(task, run, fabric, flags.retrain, every, taught, inherit)
        retrain_stage(trainer, trainings(flags.baselines, len(flags.compare)))
        compare_stages(trainer, flags.baselines, flags.compare)
        finish(run, task, flags.score, flags.int8)


def search_job(flags: SearchFlags) -> None:
    """Trains the supernet and searches it. Raises ``UserError``."""
    check_loggers(flags.logger)
    fabric = fabric_of(flags)
    with new_folder(flags.out) as run:
        task, method = _prepare(run, flags, fabric)
        known = table_of(task, flags.table, flags.column)
        begin(run, task, "search", to_config(flags))
        attach_loggers(run, flags.logger)
        _search(run, task, method, fabric, flags)
        tell_truth(run, task, known)
        say_found(run, task)
        say_next(run)


def evolve_job(flags: EvolveFlags, objects: Mapping[str, Plugin] = NONE) -> None:
    """Searches the supernet of a run again; ``objects`` are those the run was given. Raises ``UserError``."""
    check_installed(CHARTS)
    if flags.pareto:
        check_extra("pareto", "--pareto")
    if not flags.threads and not has_begun(open_folder(flags.out)):
        flags = replace(flags, threads=threads_of(open_folder(flags.run)))
    fabric = Device(flags.accelerator, threads=flags.threads).fabric()
    with new_folder(flags.out) as run:
        _evolve(run, flags, fabric, objects)


def _evolve(run: Run, flags: EvolveFlags, fabric: Fabric, objects: Mapping[str, Plugin]) -> None:
    source = saved_run(flags.run, flags.trust_plugins, flags.data, objects=objects)
    saved = source.flags
    costs = [*dict.fromkeys([*saved.cost, *flags.cost])]
    scoring = scoring_again(run, flags.score, saved.score, flags.pareto)
    config = {**source.config, **to_config(flags), "cost": plain(costs), "score": plain(scoring)}
    check_resumable(run, config, flags.resume)
    source.run.need(SUPERNET, "search")
    file = flags.latency or (source.run / LATENCY_FILE if source.run.has(LATENCY_FILE) else "")
    table = latency_table(run, file)
    what, say = (saved.space, saved.data, saved.objective, flags.budget, saved.seed), RunLogger(run).say
    task = make_task(*what, fabric.device, saved.target, table, costs, say)
    check_data(source.run, task.data)
    check_same_space(source.run, task)
    if flags.pareto:
        check_cost("--pareto", flags.pareto, task.limits.table.costs)
    method = build_method(flags.method, task)
    check_finalists(flags.finalists, task, method, flags.method.name, flags.pareto)
    check_measured(flags.finalists, run, task)
    known = table_of(task, flags.table, flags.column)
    if scoring != saved.score and not has_begun(run):  # a search that goes on was tried when it began
        task.check_scoring(scoring)
    net = trained_supernet(run if run.has(SUPERNET) else source.run, task)
    begin(run, task, "evolve", config)
    _copy_supernet(source.run, run)
    if not run.has(Best.FILE):
        trainer = FinalistTrainer(run, task, fabric, flags.finalists, saved.search)
        search_again(run, task, net, method, scoring, source.run, trainer, flags.pareto, flags.random_search)
    tell_truth(run, task, known)
    say_found(run, task)
    RunLogger(run).say(f"report: {report(run.path)}")
    say_next(run)


def retrain_job(flags: RetrainFlags, objects: Mapping[str, Plugin] = NONE, teacher: nn.Module | None = None) -> None:
    """Trains the found network again, and others beside it; ``objects`` are those the run was given.

    Raises ``UserError``.
    """
    check_loggers(flags.logger)
    fabric = fabric_of(flags if flags.threads else replace(flags, threads=threads_of(open_folder(flags.run))))
    with told_when_stopped(CONTINUES), locked(open_folder(flags.run)):
        run, task, saved, config, _ = _resized(flags, fabric.device, objects, teacher)
        tell_of_sizes(run, "retrain", flags.retrain, task.data)
        check_data(run, task.data)
        taught = make_teacher(flags.retrain, run, task, saved.score, teacher)
        check_settings(task, {"--retrain": flags.retrain})
        every, inherit = flags.checkpoint_seconds, _inherits(flags, task)
        if flags.arch:
            choose_stage(run, task, flags.arch, inherit or flags.no_training, flags.restart)
        trainer = NetworkTrainer(task, run, fabric, flags.retrain, every, taught, inherit)
        trainer.check_interrupted(flags.restart)
        attach_loggers(run, flags.logger)
        record = trainer.record(flags.no_training)
        if flags.restart or not run.has(NET) or run.find(Trainings) != record:  # else an interrupted job goes on
            forget_networks(run, Path(flags.retrain.distill).resolve())
        run.write(record)
        retrain_stage(trainer, trainings(flags.baselines, len(flags.compare)), flags.no_training)
        compare_stages(trainer, flags.baselines, flags.compare)
        run.remove(Trainings.FILE)
        if rank() == 0:
            recipe = plain(flags.retrain)
            own = None if flags.no_training or recipe == config.get("retrain") else recipe
            test_trained(Run(run.path), task, own)
            RunLogger(run).console.print(summary(Run(run.path), task.limits.budgets, task.objective))
            say_if_worse(Run(run.path), task.objective)
            say_next(Run(run.path))


def _prepare(run: Run, flags: RunFlags | SearchFlags, fabric: Fabric) -> tuple[Task, Method]:
    """All that a search needs, before anything is written or trained. Raises ``UserError``."""
    check_resumable(run, to_config(flags), flags.resume)
    table = latency_table(run, flags.latency)
    what, say = (flags.space, flags.data, flags.objective, flags.budget, flags.seed), RunLogger(run).say
    task = make_task(*what, fabric.device, flags.target, table, flags.cost, say)
    tell_of_enlarged(run, flags.space, flags.data, task.data)
    tell_of_sizes(run, "search", flags.search, task.data)
    method = make_method(flags.method, task, flags.search, flags.random_search)
    check_finalists(flags.finalists, task, method, flags.method.name)
    if not learns(method):
        check_measured(flags.finalists, run, task)
    if not has_begun(run):  # a run that goes on was tried when it began
        with told_if_slow(say, "prepare: trying the scoring of candidates"):
            task.check_scoring(replace(flags.score, calibration=0) if method.one_stage else flags.score)
    retrain = {"--retrain": flags.retrain} if isinstance(flags, RunFlags) else {}
    check_settings(task, {"--search": flags.search, **retrain}, method)
    return task, method


def _search(run: Run, task: Task, method: Method, fabric: Fabric, flags: RunFlags | SearchFlags) -> None:
    every, random = flags.checkpoint_seconds, flags.random_search
    search_stage(run, task, method, fabric, flags.search, flags.score, flags.finalists, every, random)


def _check_scale_to(task: Task, method: Method, flags: RunFlags) -> None:
    """Raises ``UserError`` for mistakes that are better told before the search than after it."""
    if method.one_stage:
        raise UserError(
            f"--scale-to: expected none, since {flags.method.name} trains the found network itself, which has the size "
            f"of the space; use --budget; got {', '.join(flags.scale_to)}"
        )
    check_target(flags.target)
    check_scale_to(task, flags.scale_to)


def _copy_supernet(source: Run, run: Run) -> None:
    if not run.has(SUPERNET):
        with open(source / SUPERNET, "rb") as supernet:
            write_atomic(run / SUPERNET, lambda file: shutil.copyfileobj(supernet, file))


def _resized(
    flags: RetrainFlags, device: torch.device, objects: Mapping[str, Plugin], teacher: nn.Module | None
) -> Opened:
    """The run's task at the size at which its network is to be trained. Raises ``UserError``."""
    if flags.scale_to:
        return _scaled(flags, device, objects, teacher)
    how = Provenance(target=dict(flags.target)) if flags.target else None
    opened = _opened(flags, device, how, objects, teacher)
    if opened.task.target != opened.task.space:
        _refuse_inherited(flags, "--target")
    recount(opened.run, opened.task, how or Provenance())
    return opened


def _scaled(
    flags: RetrainFlags, device: torch.device, objects: Mapping[str, Plugin], teacher: nn.Module | None
) -> Opened:
    _refuse_inherited(flags, "--scale-to")
    check_target(flags.target)
    how = Provenance(target=dict(flags.target) or None, scale_to=[])
    opened = _opened(flags, device, how, objects, teacher)
    return opened._replace(task=scale_stage(opened.run, opened.task, flags.scale_to))


def _opened(
    flags: RetrainFlags,
    device: torch.device,
    how: Provenance | None,
    objects: Mapping[str, Plugin],
    teacher: nn.Module | None,
) -> Opened:
    opened = open_task(flags.run, device, flags.trust_plugins, flags.data, how, objects)
    opened.task.limits.check()
    check_teacher(flags.retrain, opened.task, not opened.run.has(ARCHS), teacher)
    return opened


def _inherits(flags: RunFlags | RetrainFlags, task: Task) -> bool:
    """Whether networks start from the weights of the supernet, which are of its own size."""
    resized = bool(flags.scale_to) or task.target != task.space
    return (task.opened is not None and not resized) if flags.inherit is None else flags.inherit


def _refuse_inherited(flags: RunFlags | RetrainFlags, other: str) -> None:
    no_training = isinstance(flags, RetrainFlags) and flags.no_training
    for flag, given in (("--no-training", no_training), ("--inherit", flags.inherit)):
        if given:
            raise UserError(f"{flag}: expected no {other}, since the supernet's weights are of its own size")
