"""Candidates of opened networks that replay what comes before their first difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.nets import seeds
from torch import Tensor, nn
from torch.nn import functional as F

import opening_nets
import sparsenas
from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices
from sparsenas.nn.calls import CallOrder
from sparsenas.objectives import Classification
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.searching.eval_batches import EvalBatches
from sparsenas.searching.population_evaluator import Scorer
from sparsenas.searching.reference import OneByOne
from sparsenas.searching.replay import Replaying
from sparsenas.searching.tape import InputDiffersError, Tape
from sparsenas.searching.way import Way
from sparsenas.testing import shaken

SHAPE = (1, 8, 8)
PLENTY = 2**30


class InPlace(opening_nets.Residual):
    """As torchvision's blocks: activations and sums are in place, and here the input too."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x, inplace=True)
        y = self.second(F.relu_(self.first(x)))
        y += self.shortcut(x)
        return y


class Changing(opening_nets.ResNet):
    """Its own code changes what its blocks gave."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([InPlace(16, 16), InPlace(16, 16), InPlace(16, 32, 2), InPlace(32, 32)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
            x += 1
        return self.head(x.mean((2, 3)))


class Reused(nn.Module):
    """One batch norm and one activation in several places, and a layer that has two names."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.norm = nn.ReLU(), nn.BatchNorm2d(16)
        self.convs = nn.ModuleList(nn.Conv2d(1 if i == 0 else 16, 16, 3, padding=1) for i in range(5))
        self.again, self.head = self.convs[2], nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        for i, conv in enumerate(self.convs):
            x = self.act(self.norm(conv(x)) if i < 4 else conv(x))
        return self.head((x + self.again(x)).mean((2, 3)))


class Ahead(opening_nets.ResNet):
    """Reads the weights of a module long before it calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Conv2d(32, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x)) * (1 + self.late.weight.abs().mean())
        for block in self.blocks:
            x = block(x)
        return self.head(F.relu(self.late(x)).mean((2, 3)))


NETS: tuple[Callable[[], nn.Module], ...] = (
    opening_nets.small, opening_nets.ResNet, opening_nets.Dense, opening_nets.Mobile, opening_nets.Shuffle,
    opening_nets.Transformer, opening_nets.Windows, Changing, Reused, Ahead,
)  # fmt: skip


@cache
def opened(make: Callable[[], nn.Module]) -> OpenedNetwork:
    torch.manual_seed(0)
    space = shaken(sparsenas.open(make(), torch.zeros(1, *SHAPE))).eval()
    assert isinstance(space, OpenedNetwork)
    return space


def batches(calibration: int = 2) -> EvalBatches:
    rng = torch.Generator().manual_seed(0)
    inputs = [torch.randn(6, *SHAPE, generator=rng) for _ in range(calibration + 2)]
    return EvalBatches(tuple(inputs[2:]), tuple((x, torch.zeros(6)) for x in inputs[:2]))


def changed_alone(space: OpenedNetwork) -> list[Arch]:
    """The network itself, and some options of every decision alone, as where sensitivities are measured."""
    whole = Arch(choices(space), space.largest())
    others = [whole.replace({n: (i,)}) for n, c in whole.choices.items() for i in {0, len(c.options) - 1}]
    return list(dict.fromkeys([whole, *others]))


def outputs(way: Way, archs: Sequence[Arch]) -> list[Tensor]:
    with torch.no_grad():
        found = {(batch, index): output for batch, index, output in way.outputs(archs, lambda: None)}
    return [found[key] for key in sorted(found)]


def agree(way: Way, archs: Sequence[Arch], space: nn.Module, some: EvalBatches) -> None:
    for output, expected in zip(outputs(way, archs), outputs(OneByOne(space, some, alone=True), archs), strict=True):
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)


def runs(space: nn.Module, archs: Sequence[Arch], some: EvalBatches, limit: int = PLENTY) -> tuple[Replaying, int]:
    """The way, and how many convolutions ran."""
    ran: list[int] = []
    forward = nn.Conv2d.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Conv2d, "forward", lambda self, x: (ran.append(1), forward(self, x))[1])
        way = Replaying(space, some, limit, folds=True, alone=True)
        outputs(way, archs)
    return way, len(ran)


@pytest.mark.parametrize("make", NETS)
def test_outputs_are_those_of_candidates_that_run_alone(make: Callable[[], nn.Module]) -> None:
    space, some = opened(make), batches()
    archs, rng = changed_alone(space), np.random.default_rng(0)
    archs += [Arch.sample(choices(space), rng) for _ in range(6)]
    for limit in (PLENTY, 20_000, 0):
        agree(Replaying(space, some, limit, folds=True, alone=True), list(dict.fromkeys(archs)), space, some)


@given(seeds)
@settings(deadline=None, max_examples=10)
def test_any_population_gives_what_its_candidates_give(seed: int) -> None:
    rng, space = np.random.default_rng(seed), opened(opening_nets.ResNet)
    some, parent = batches(int(rng.integers(3))), Arch.sample(choices(space), rng)
    archs = [parent]
    for _ in range(6):
        name = str(rng.choice(list(parent)))
        archs.append(archs[int(rng.integers(len(archs)))].replace({name: parent.choices[name].sample(rng)}))
    agree(
        Replaying(space, some, int(rng.choice([0, 20_000, PLENTY])), folds=True, alone=True),
        list(dict.fromkeys(archs)),
        space,
        some,
    )


def test_what_comes_before_the_first_difference_is_run_once() -> None:
    space, some = opened(opening_nets.ResNet), batches()
    archs = changed_alone(space)
    (way, ran), (_, without) = runs(space, archs, some), runs(space, archs, some, limit=0)
    assert way.shares
    assert ran < 0.8 * without


def test_code_that_reads_weights_ahead_is_noticed() -> None:
    space, some = opened(Ahead), batches()
    way, _ = runs(space, changed_alone(space), some)
    assert not way.shares


def test_when_modules_are_called() -> None:
    order = CallOrder(Reused(), torch.zeros(1, *SHAPE))
    assert order.names["convs.2"] == ["convs.2", "again"]
    assert order.called("again") == "convs.2"
    assert order.called("convs") == ""  # a list is not called
    assert order.first(["convs.3"]) < order.first(["convs.4"]) < order.first(["head"]) < order.first([])
    assert order.done_before(["convs.1"]) == ["convs.0"]  # the norm and the activation are called again
    assert set(order.done_before(["head"])) == {"act", "norm", "convs.0", "convs.1", "convs.2", "convs.3", "convs.4"}
    assert order.done_before([""]) == []


def test_a_tape_replays_only_what_is_as_it_was() -> None:
    net, x = nn.Sequential(nn.Linear(2, 2), nn.ReLU(inplace=True), nn.Linear(2, 2)), torch.randn(3, 2)
    tape = Tape(["0", "1", "2"], PLENTY)
    with torch.no_grad():
        with tape.run(net, []):
            expected = net(x)
        net[2].weight.zero_()  # would show if it was run
        with tape.run(net, ["0", "1", "2"]):
            replayed = net(x)
        assert torch.equal(replayed, expected)
        assert [call.versions is None for call in tape.last.inside.values()] == [False, True, False]
        with pytest.raises(InputDiffersError), tape.run(net, ["0", "1", "2"]):
            net(x + 1)
    assert "forward" not in vars(net[0])


def test_a_search_takes_this_way() -> None:
    space = opened(opening_nets.ResNet)
    told: list[str] = []
    scorer = Scorer(space, batches(), Classification(), say=told.append)
    assert isinstance(scorer.way(changed_alone(space)), Replaying)
    assert not told
