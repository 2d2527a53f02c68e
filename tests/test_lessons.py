"""A step of the weights: its gradient is that of the losses written down one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.core.arch import Arch
from sparsenas.core.gate import Gates, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import CostTable, Limits
from sparsenas.costs.ends import smallest_and_largest
from sparsenas.data import Data, Split
from sparsenas.methods.spos.method import Spos
from sparsenas.objectives import Classification, Multilabel, Objective, Regression, Segmentation
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.training.lessons import from_targets, from_teacher, sandwich
from sparsenas.training.loops import train_supernet
from sparsenas.training.loss import distillation
from sparsenas.training.recipe import Recipe
from sparsenas.training.trainer import Lesson, Trainer

FABRIC = Fabric(accelerator="cpu", devices=1)
PLAIN = Recipe(epochs=1, batch=8, lr=0.5, momentum=0.0, weight_decay=0.0, smoothing=0.0, clip=0.0, augment=False)


def examples(count: int, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(count, 6, generator=generator), torch.randint(0, 4, (count,), generator=generator))


def space(seed: int = 0) -> nn.Module:
    """A supernet without batch norm."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 8),
        Join.of("a", {"skip": nn.Identity(), "one": nn.Linear(8, 8), "two": _two()}),
        nn.ReLU(),
        Join.of("b", {"one": nn.Linear(8, 8), "two": _two()}),
        nn.ReLU(),
        nn.Linear(8, 4),
    )


def _two() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))


def data_of(count: int) -> Data:
    return Data(("a", "b", "c", "d"), examples(count), examples(8, 1), examples(8, 2))


def trainer_of(path: Path, net: nn.Module, data: Data, recipe: Recipe, objective: Objective | None = None) -> Trainer:
    run = Run(path)
    run.create()
    logger, checkpoint = RunLogger(run, quiet=True), Checkpoint(run, "supernet", 1e9)
    return Trainer(FABRIC, net, data, objective or Classification(4), data.train, recipe, 0, logger, checkpoint)


def stepped(
    path: Path, net: nn.Module, data: Data, recipe: Recipe, lesson: Callable[[Trainer], Lesson]
) -> list[Tensor]:
    """The weights after a step of the first batch."""
    trainer = trainer_of(path, net, data, recipe)
    with trainer.resumed({}):
        _, batch = next(trainer.batches())
        trainer.step(batch, lesson(trainer))
    return [p.detach().clone() for p in net.parameters()]


def first_batch(data: Data, size: int, path: Path) -> Split:
    trainer = trainer_of(path, nn.Linear(6, 4), data, replace(PLAIN, batch=size))
    with trainer.resumed({}):
        return next(trainer.batches())[1]


def all_close(ours: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def paths_of(net: nn.Module) -> list[Gates]:
    named = ({"a": (2,), "b": (1,)}, {"a": (0,), "b": (0,)}, {"a": (1,), "b": (1,)})
    return [Arch(choices(net), picks).gates() for picks in named]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_sandwich_adds_up_three_backward_passes(temperature: float, tmp_path: Path) -> None:
    data, ours, reference = data_of(8), space(), space()
    recipe = replace(PLAIN, distill="sandwich", distill_temperature=temperature)
    batch, paths = first_batch(data, 8, tmp_path / "batch"), paths_of(reference)
    gradients = [torch.zeros_like(p) for p in reference.parameters()]
    teacher = torch.empty(0)
    for i, path in enumerate(paths):
        set_gates(reference, path)
        logits = reference(batch.inputs)
        if i == 0:
            teacher = (logits.detach() / temperature).softmax(1)
            loss = F.nll_loss(logits.log_softmax(1), batch.targets)
        else:
            loss = -(teacher * (logits / temperature).log_softmax(1)).sum(1).mean() * temperature**2
        found = torch.autograd.grad(loss, list(reference.parameters()), allow_unused=True)
        gradients = [a if b is None else a + b for a, b in zip(gradients, found, strict=True)]
    expected = [p.detach() - recipe.lr * g for p, g in zip(reference.parameters(), gradients, strict=True)]
    all_close(stepped(tmp_path / "ours", ours, data, recipe, partial(sandwich, paths=paths_of(ours))), expected)


@pytest.mark.parametrize("lesson", ["targets", "sandwich", "teacher"])
@pytest.mark.parametrize("examples_there", [24, 20])
def test_accumulated_batches_are_one_large_batch(lesson: str, examples_there: int, tmp_path: Path) -> None:
    """With 20 examples, the only batch is smaller than three whole ones."""
    data, nets = data_of(examples_there), [space(), space()]
    teacher = nn.Linear(6, 4)
    found = []
    for i, (net, recipe) in enumerate(zip(nets, (PLAIN, PLAIN), strict=True)):
        sized = replace(recipe, batch=8, accumulate=3) if i else replace(recipe, batch=24)
        set_gates(net, paths_of(net)[0])
        paths = paths_of(net)
        lessons: dict[str, Callable[[Trainer], Lesson]] = {
            "targets": from_targets,
            "sandwich": partial(sandwich, paths=paths),
            "teacher": partial(from_teacher, teacher=teacher),
        }
        found.append(stepped(tmp_path / f"{i}", net, data, sized, lessons[lesson]))
    all_close(*found)
    assert not torch.equal(found[0][0], next(space().parameters()))


def test_accumulation_shortens_the_epoch(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, space(), data_of(50), replace(PLAIN, accumulate=3))
    assert trainer.steps == 50 // 24


def test_a_method_that_learns_its_gates_learns_from_all_parts(tmp_path: Path) -> None:
    """Parts share the graph of the gates; the gradient is that of the whole batch."""
    data = data_of(24)
    found = []
    for i in range(2):
        net, weight = space(), torch.zeros(2, requires_grad=True)
        gates = {n: g._replace(weights=weight[k].exp().view(1)) for k, (n, g) in enumerate(paths_of(net)[0].items())}
        set_gates(net, gates)
        recipe = replace(PLAIN, batch=8, accumulate=3) if i else replace(PLAIN, batch=24)
        stepped(tmp_path / f"{i}", net, data, recipe, from_targets)
        assert weight.grad is not None
        assert weight.grad.abs().min() > 0
        found.append(weight.grad)
    torch.testing.assert_close(*found)


OBJECTIVES: dict[str, tuple[Objective, Callable[[int], Tensor]]] = {
    "classification": (Classification(4), lambda n: torch.randn(n, 4)),
    "multilabel": (Multilabel(4), lambda n: torch.randn(n, 4)),
    "regression": (Regression(4), lambda n: torch.randn(n, 4)),
    "segmentation": (Segmentation(4), lambda n: torch.randn(n, 4, 3, 3)),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_no_output_is_closer_to_a_teacher_than_its_own(name: str, temperature: float) -> None:
    objective, outputs = OBJECTIVES[name]
    recipe = Recipe(distill_temperature=temperature)
    torch.manual_seed(0)
    teacher = outputs(5)
    output = teacher.clone().requires_grad_()
    loss = distillation(objective, recipe, output, teacher)
    (gradient,) = torch.autograd.grad(loss, output)
    assert gradient.abs().max() < 1e-6
    assert loss < distillation(objective, recipe, outputs(5), teacher)


def test_a_teacher_has_its_weight_in_the_loss_and_no_gradient(tmp_path: Path) -> None:
    data, teacher = data_of(8), nn.Linear(6, 4)
    batch = first_batch(data, 8, tmp_path / "batch")
    for weight in (0.0, 0.3, 1.0):
        ours, reference = nn.Linear(6, 4), nn.Linear(6, 4)
        reference.load_state_dict(ours.state_dict())
        logits, taught = reference(batch.inputs), teacher(batch.inputs).detach()
        loss = (1 - weight) * F.cross_entropy(logits, batch.targets) + weight * F.cross_entropy(
            logits, taught.softmax(1)
        )
        gradients = torch.autograd.grad(loss, list(reference.parameters()))
        expected = [p.detach() - PLAIN.lr * g for p, g in zip(reference.parameters(), gradients, strict=True)]
        recipe = replace(PLAIN, distill_weight=weight)
        all_close(stepped(tmp_path / f"{weight}", ours, data, recipe, partial(from_teacher, teacher=teacher)), expected)
    assert all(p.grad is None for p in teacher.parameters())


def test_a_supernet_is_taught_by_the_largest_path(tmp_path: Path) -> None:
    """A whole training of two steps, written down."""
    data, net, reference = data_of(16), space(), space()
    limits = Limits(CostTable(space(), (6,)))
    recipe = replace(PLAIN, distill="sandwich", distill_random=2, lr=0.1)
    run = Run(tmp_path / "run")
    run.create()
    logger, checkpoint = RunLogger(run, quiet=True), Checkpoint(run, "supernet", 1e9)
    train_supernet(FABRIC, net, Spos(limits.choices, limits, 0), data, Classification(4), recipe, 0, logger, checkpoint)

    method, trainer = Spos(limits.choices, limits, 0), trainer_of(tmp_path / "reference", reference, data, recipe)
    smallest, largest = smallest_and_largest(limits.table)
    with trainer.resumed({}):
        for step, batch in trainer.batches():
            losses, teacher = [], torch.empty(0)
            for i, path in enumerate([largest.gates(), smallest.gates(), method.gates(), method.gates()]):
                set_gates(reference, path)
                logits = reference(batch.inputs)
                teacher = logits.detach() if i == 0 else teacher
                losses.append(F.cross_entropy(logits, teacher.softmax(1) if i else batch.targets))
            gradients = torch.autograd.grad(torch.stack(losses).sum(), list(reference.parameters()), allow_unused=True)
            for p, gradient in zip(reference.parameters(), gradients, strict=True):
                if gradient is not None:
                    p.data -= recipe.lr_at(step, 1 * trainer.steps) * gradient
            trainer.epoch.rows.append(torch.ones(3))
    assert (smallest, largest) == tuple(Arch(limits.choices, {"a": (i,), "b": (j,)}) for i, j in ((0, 0), (2, 1)))
    all_close([*net.parameters()], [*reference.parameters()])
