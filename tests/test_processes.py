"""Jobs of several processes give what one process gives."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import DoublePrecision
from tests.made_once import MadeOnce
from torch import distributed as dist
from torch import nn
from torch.multiprocessing import start_processes
from torch.nn import functional as F

from processes import FORKS
from sparsenas.core.arch import Arch
from sparsenas.core.gate import set_gates
from sparsenas.data import Split, Target
from sparsenas.distributed.collectives import (
    all_gather,
    all_reduce_sum,
    average_gradients,
    broadcast_from_rank0,
    rank,
    rank_slice,
    world,
)
from sparsenas.distributed.sync_batch_norm import SYNCED
from sparsenas.errors import UserError
from sparsenas.job.folder import open_folder
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.search import make_method
from sparsenas.job.task import Task, make_task
from sparsenas.nn.function_overrides import FunctionOverrides
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.log import EpochEnd
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.seeds import seed_of
from sparsenas.searching.config import Scoring
from sparsenas.training.loops import train_network, train_supernet
from sparsenas.training.loss import training_loss
from sparsenas.training.optimizers import make_optimizer
from sparsenas.training.recipe import Recipe

STEPS = 6
SIZES = (1, 3)
"""Numbers of processes; scores are shared unequally among three."""
METHODS = {"spos": "tiny", "ista": "tiny", "ista_one_stage": "tiny", "dso": "nets:complete_block"}
"""Which space each method trains."""
FLAGS = {"dso": {"pretrain": 0.25, "prune_every": 2}, "ista": {"start": 0.3}}
"""Of the methods. Where two options of ISTA-NAS run, its small default start lets rounding grow tenfold in a step."""
ROUNDING = 1e-5
"""How far losses may be apart."""
SLOW, FAST = 0.0003, 0.05
"""Learning rates: rounding tips a ReLU now and then, which tells more the faster the weights change."""
TRAININGS = [("spos", "32-true"), ("retrain", "32-true"), *((name, "64-true") for name in (*METHODS, "retrain"))]
NEVER = 1e9
"""Seconds between checkpoints, which are another test's."""
RECIPE = Recipe(epochs=STEPS, batch=60, lr=0.05, augment=False)
"""An epoch is one step, so that the log has the loss of every step."""


class Double(DoublePrecision):
    """Double precision to the end; Fabric's own hands back logits in single precision."""

    def convert_output(self, data: Any) -> Any:
        return data


def spread(out: Path, size: int) -> None:
    """Writes what the first one of some processes of a job finds out."""
    out.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (size, port, str(out))
    start_processes(_process, arguments, nprocs=size, start_method=FORKS.get_start_method())  # type: ignore[no-untyped-call]


def _process(number: int, size: int, port: int, out: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=number, world_size=size)
    try:
        found = {"scores": _scores(Path(out)), "own paths": _own_paths_differ(Path(out)), **_basics()}
        found["losses"] = {f"{name} {precision}": _losses(Path(out), name, precision) for name, precision in TRAININGS}
        if number == 0:
            (Path(out) / "found.json").write_text(json.dumps(found))
    finally:
        dist.destroy_process_group()


@cache
def _task(space: str = "tiny") -> Task:
    flags = {"width": 8, "blocks": 4} if space == "tiny" else {}
    return make_task(Plugin(space, flags), Plugin("digits", {}), Plugin("classification"), [], 0, torch.device("cpu"))


def _on_few(task: Task) -> Task:
    few = {part: _noisy(getattr(task.data, part).subset(torch.arange(100))) for part in ("train", "val")}
    return replace(task, data=replace(task.data, **few))


def _folder(path: Path) -> Run:
    run = open_folder(path)
    run.create()
    return run


def _noisy(images: Split) -> Split:
    """Digits on a background that is not all black: where pixels tie, rounding decides for many of them at once."""
    noise = torch.randint(0, 64, images.inputs.shape, generator=torch.Generator().manual_seed(0))
    return Split((images.inputs * 0.75 + noise).to(torch.uint8), images.targets)


def _scores(out: Path) -> list[tuple[float, float]]:
    task = _task()
    net = task.network("supernet")
    rng = np.random.default_rng(0)
    archs = [Arch(task.choices, {n: c.sample(rng) for n, c in task.choices.items()}) for _ in range(24)]
    scorer = task.scorer(net, Scoring(calibration=200, batch=40))
    return [tuple(metrics.values()) for half in (archs[:12], archs) for metrics in scorer(half)]


def _losses(out: Path, name: str, precision: str) -> list[float]:
    """The losses of some steps of a supernet under a method, or of a plain network's training."""
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[Double()] if precision == "64-true" else [])
    recipe = replace(RECIPE, lr=SLOW if precision == "32-true" or name == "dso" else FAST)
    task, run = _on_few(_task(METHODS.get(name, "tiny"))), _folder(out / f"{name} {precision}")
    checkpoint = Checkpoint(run, "stage", NEVER)
    if name == "retrain":
        arch = Arch(task.choices, {name: (choice.most,) for name, choice in task.choices.items()})
        plain = task.plain(arch, "retrain")
        train_network(fabric, plain, task.data, task.objective, task.data.train, recipe, 0, RunLogger(run), checkpoint)
    else:
        learner = make_method(Plugin(name, FLAGS.get(name, {})), task, recipe)
        net = task.network("supernet")
        train_supernet(fabric, net, learner, task.data, task.objective, recipe, 0, RunLogger(run), checkpoint)
    return [line.metrics["loss"] for line in run.log() if isinstance(line, EpochEnd)]


def _own_paths_differ(out: Path) -> float:
    """How far weights trained on a path a process are from those of one process that adds up the paths' gradients."""
    task, run, recipe = _on_few(_task()), _folder(out / "own"), replace(RECIPE, epochs=3, own_paths=True)
    first, second = (task.network("supernet") for _ in range(2))
    learner = make_method(Plugin("spos", {}), task, recipe)
    fabric, checkpoint = Fabric(accelerator="cpu", devices=1), Checkpoint(run, "stage", NEVER)
    train_supernet(fabric, first, learner, task.data, task.objective, recipe, 0, RunLogger(run), checkpoint)

    learner, optimizer = make_method(Plugin("spos", {}), task, recipe), make_optimizer(recipe, second.train())
    for epoch in range(recipe.epochs):
        (batch,) = task.data.train.shuffled(recipe.batch, seed_of(0, "stage", "order", epoch))
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = recipe.lr_at(epoch, recipe.epochs)
        for number, gates in enumerate([learner.gates() for _ in range(world())]):
            set_gates(second, gates)
            part = slice(number, None, world())
            logits = second(task.data.prepared(batch.inputs[part]))
            (training_loss(task.objective, recipe, logits, Target(batch.targets[part])) / world()).backward()
        nn.utils.clip_grad_norm_(second.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        learner.end_epoch(epoch)
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def _basics() -> dict[str, Any]:
    """Collectives against what they say they do."""
    told = broadcast_from_rank0(lambda: f"process {rank()}")
    with pytest.raises(UserError, match="only the first"):
        broadcast_from_rank0(_fail)
    layers = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
    used = 0 if rank() == 0 else 1  # nobody uses the third
    layers[used](torch.ones(1, 1)).sum().backward()
    average_gradients(layers.parameters(), alike=False)
    return {
        "told": told,
        "dealt": [all_gather(torch.arange(count)[rank_slice()]).tolist() for count in range(6)],
        "sum": float(all_reduce_sum(torch.tensor(1.0 + rank()))),
        "gradients": [None if p.grad is None else p.grad.item() for p in layers.parameters()],
        "norm": _norm_differs(),
    }


def _fail() -> None:
    raise UserError("only the first fails" if rank() == 0 else "the others never try")


def _norm_differs() -> float:
    """How far a network on shares is from the same network on the whole batch: outputs, gradients and statistics."""
    x = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(0)) + 100
    nets = []
    for _ in range(2):
        torch.manual_seed(0)
        layers = nn.BatchNorm2d(3, momentum=0.3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten()
        nets.append(nn.Sequential(*layers, nn.Linear(64, 5), nn.BatchNorm1d(5)))
    whole, shares = nets
    expected = whole(x)
    F.mse_loss(expected, expected.detach().roll(1)).backward()
    with FunctionOverrides(SYNCED):
        outputs = shares(x[rank_slice()])
    F.mse_loss(outputs, expected.detach().roll(1)[rank_slice()]).backward()
    average_gradients(shares.parameters())
    pairs = [(outputs, expected[rank_slice()]), *zip(shares.buffers(), whole.buffers(), strict=True)]
    pairs += [(p.grad, q.grad) for p, q in zip(shares.parameters(), whole.parameters(), strict=True)]  # type: ignore[misc]
    return max(float((a.float() - b.float()).detach().abs().max()) for a, b in pairs)


@pytest.fixture(scope="module")
def found(made_once: MadeOnce) -> dict[int, dict[str, Any]]:
    """What jobs of one and of several processes find out."""
    folders = {size: made_once(f"processes {size}", lambda out, size=size: spread(out, size)) for size in SIZES}
    return {size: json.loads((folder / "found.json").read_text()) for size, folder in folders.items()}


@pytest.mark.parametrize("size", SIZES[1:])
def test_scores_do_not_depend_on_the_number_of_processes(found: dict[int, dict[str, Any]], size: int) -> None:
    assert len({accuracy for accuracy, _ in found[1]["scores"]}) > 10
    assert found[size]["scores"] == found[1]["scores"]  # bit for bit


@pytest.mark.parametrize(("name", "precision"), TRAININGS)
@pytest.mark.parametrize("size", SIZES[1:])
def test_losses_do_not_depend_on_the_number_of_processes(
    found: dict[int, dict[str, Any]], size: int, name: str, precision: str
) -> None:
    ours, alone = (found[n]["losses"][f"{name} {precision}"] for n in (size, 1))
    assert len(alone) == len(set(alone)) == STEPS
    np.testing.assert_allclose(ours, alone, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("size", SIZES)
def test_own_paths_add_up(found: dict[int, dict[str, Any]], size: int) -> None:
    assert found[size]["own paths"] < 1e-6


@pytest.mark.parametrize("size", SIZES)
def test_collectives(found: dict[int, dict[str, Any]], size: int) -> None:
    basics = found[size]
    assert basics["told"] == "process 0"
    assert basics["dealt"] == [list(range(count)) for count in range(6)]
    assert basics["sum"] == size * (size + 1) / 2
    first, second = (1.0, None) if size == 1 else (float(np.float32(part / size)) for part in (1, size - 1))
    assert basics["gradients"] == [first, first, second, second, None, None]
    if size > 1:
        assert basics["norm"] < 1e-4


def test_without_a_job_there_is_one_process() -> None:
    assert (rank(), world(), list(range(3))[rank_slice()]) == (0, 1, [0, 1, 2])
    assert broadcast_from_rank0(lambda: sys.maxsize) == sys.maxsize
