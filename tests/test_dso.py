"""DSO-NAS: its spaces are the published ones, its search prunes to exact zeros and meets its budget."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from nets import seeds
from sparsenas.commands.retrain import retrain
from sparsenas.commands.search import search
from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize
from sparsenas.core.dag import Dag, prune
from sparsenas.core.derive import derive
from sparsenas.core.gate import Gate, Gates, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import COSTS, CostTable, Limits, parse_budgets, trace
from sparsenas.costs.block_costs import BlockCosts
from sparsenas.costs.latency import LATENCY, LatencyTable, Settings, Timing, measured_part, takes_time
from sparsenas.data import Data, Split
from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin
from sparsenas.job.run_flags import RetrainFlags, SearchFlags
from sparsenas.job.trained import load
from sparsenas.methods import Dso, DsoFlags
from sparsenas.methods.dso.adaptive import Penalties
from sparsenas.methods.dso.budget_controller import BudgetController
from sparsenas.objectives import Classification
from sparsenas.reporting import report
from sparsenas.rundir.checkpoint import Checkpoint
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.spaces import dso, dso_imagenet, tiny
from sparsenas.testing import check_method, check_space, shaken
from sparsenas.training import trainer
from sparsenas.training.arch_optimizer import PrunableOptimizer
from sparsenas.training.loops import train_supernet
from sparsenas.training.recipe import Recipe

SHAPE = (1, 8, 8)


def small(**flags: Any) -> nn.Sequential:
    return dso(**{"width": 4, "depth": 1, "shape": SHAPE, **flags})


TABLE = CostTable(small(), SHAPE)
COMPLETE = TABLE.exact(TABLE.fullest)["flops"]


def limits(*budgets: str) -> Limits:
    return Limits(TABLE, parse_budgets(budgets))


@pytest.mark.parametrize("share", [False, True])
def test_conformance(share: bool) -> None:
    check_space(lambda: small(share=share, input_scales=share), SHAPE, archs=4)


def test_conformance_of_the_space_for_large_images() -> None:
    shape = (3, 32, 32)
    check_space(lambda: dso_imagenet(width=4, depths=(1, 1, 1, 1), shape=shape, classes=5), shape, archs=2)


@pytest.mark.parametrize(
    ("make", "share", "count"),
    [(dso, False, 2980), (dso, True, 128), (dso_imagenet, False, 2858), (dso_imagenet, True, 130)],
)
def test_numbers_of_scales(make: Any, share: bool, count: int) -> None:
    with torch.device("meta"):
        open_choices = choices(make(share=share))
    assert sum(len(choice.options) for choice in open_choices.values()) == count
    blocks = [name for name in open_choices if name.endswith("output")]
    of_block = {
        n: c for n, c in open_choices.items() if n.startswith(blocks[0].removesuffix("output")) and "reduce" not in n
    }
    assert sum(len(choice.options) for choice in of_block.values()) == 124
    for level in (2, 3, 4):
        sizes = [len(c.options) for n, c in of_block.items() if f"level{level}." in n]
        assert sizes == [4 * (level - 1) + 1] * 4
    assert all(len(open_choices[f"reduce{i}"].options) == 2 for i in (1, 2))


@pytest.mark.parametrize(
    ("make", "shape", "params", "flops"),
    [(dso, (3, 32, 32), 10.031e6, 1484.54e6), (dso_imagenet, (3, 224, 224), 12.460e6, 1503.50e6)],
)
def test_costs_of_the_complete_networks(make: Any, shape: tuple[int, int, int], params: float, flops: float) -> None:
    with torch.device("meta"):
        table = CostTable(make(), shape)
    exact = table.exact(table.fullest)
    assert exact["params"] == pytest.approx(params, rel=1e-4)
    assert exact["flops"] == pytest.approx(flops, rel=1e-5)


def test_tied_blocks_have_the_same_scales() -> None:
    net = small(share=True)
    method = Dso(choices(net), Limits(CostTable(net, SHAPE)), 0, DsoFlags(pretrain=0), epochs=2)
    set_gates(net, method.gates())
    joins = [m for m in net.modules() if isinstance(m, Join) and m.choice.name == "output"]
    assert len(joins) == 3
    assert len({id(join.gate.weights) for join in joins}) == 1


def test_gains_are_fixed_until_the_network_is_derived() -> None:
    net = small()
    fixed = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d) and not m.weight.requires_grad]
    assert len(fixed) == 3 * 16 + 3 + 2 * 2  # operations, shortcuts, reductions
    assert all(m.bias.requires_grad for m in fixed)
    plain = derive(net, Arch.sample(choices(net), np.random.default_rng(0)).gates())
    assert all(p.requires_grad for p in plain.parameters())


def test_sum_of_pointwise_convolutions_is_one_over_all_channels() -> None:
    net = small().double()
    block = net[1]
    assert isinstance(block, Dag)
    output = block.joins[-1]
    assert isinstance(output, Join)
    outputs = [torch.randn(2, 4, 5, 5).double() for _ in range(16)]
    weights = torch.rand(16).double()
    set_gates(output, {output.choice.name: Gate(tuple(range(16)), weights)})
    one = torch.cat([op.weight for op in output.ops], dim=1)
    scaled = torch.cat([w * x for w, x in zip(weights, outputs, strict=True)], dim=1)
    torch.testing.assert_close(output(None, *outputs), functional.conv2d(scaled, one))


def test_a_block_without_outputs_is_its_shortcut() -> None:
    net = shaken(small(depth=2)).eval()
    block = net[2]
    open_choices, x = choices(block), torch.randn(2, 4, 8, 8)
    empty = Arch(
        open_choices, {n: () if n.endswith("output") else tuple(range(c.most)) for n, c in open_choices.items()}
    )
    set_gates(block, empty.gates())
    assert torch.equal(block(x), x)
    assert not list(derive(block, empty.gates()).parameters())


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_pruning(seed: int) -> None:
    """It is idempotent, leaves no operation without input or path to the output, and changes no output."""
    rng = np.random.default_rng(seed)
    net = shaken(small()).eval()
    open_choices = choices(net)
    kept = {n: tuple(np.flatnonzero(rng.random(len(c.options)) < 0.2).tolist()) for n, c in open_choices.items()}
    arch = Arch(open_choices, {n: picks or ((0,) if open_choices[n].least else ()) for n, picks in kept.items()})
    x = torch.randn(2, *SHAPE)
    set_gates(net, arch.gates())
    before = net(x)
    pruned = canonicalize(net, arch)
    assert canonicalize(net, pruned) == pruned
    set_gates(net, pruned.gates())
    for dag in (m for m in net.modules() if isinstance(m, Dag)):
        live = dag.live()
        output = dag.joins[-1]
        assert isinstance(output, Join)
        for i, join in enumerate(dag.joins):
            if isinstance(join, Join):
                assert (i in live) == bool(join.gate.picks)
                assert all(source == 0 or source - 1 in live for source in join.reads())
    prune(net, pruned.gates())
    assert torch.equal(net(x), before)


def scaled(arch: Arch, rng: np.random.Generator) -> Gates:
    return {n: Gate(p, torch.tensor(rng.uniform(0.1, 2, len(p)), dtype=torch.float32)) for n, p in arch.items()}


@given(seeds)
@settings(deadline=None, max_examples=5)
def test_the_shrunk_network_trains_as_the_whole_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    whole = small().train()
    small_one = copy.deepcopy(whole)
    open_choices = choices(whole)
    start = Arch(open_choices, {n: tuple(range(c.most)) for n, c in open_choices.items()})
    gates = [scaled(start, rng)]
    gates += [scaled(canonicalize(whole, Arch.sample(open_choices, rng)), rng)] * 3
    batches = [(torch.randn(4, *SHAPE), torch.randint(10, (4,))) for _ in gates]
    ends = []
    for net, shrinks in ((whole, False), (small_one, True)):
        optimizer = SGD(net.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
        for step, (answer, (x, labels)) in enumerate(zip(gates, batches, strict=True)):
            if shrinks and step == 1:
                assert prune(net, answer)
                PrunableOptimizer(optimizer, net).drop_pruned()
            set_gates(net, answer)
            loss = functional.cross_entropy(net(x), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        ends.append((net.state_dict(), optimizer.state_dict()["state"]))
    (all_weights, all_momenta), (weights, momenta) = ends
    assert len(weights) < len(all_weights)
    assert len(momenta) < len(all_momenta)
    assert all(torch.equal(value, all_weights[name]) for name, value in weights.items())
    fresh = small()
    fresh.load_state_dict(weights)
    assert fresh.state_dict().keys() == weights.keys()


class Toy:
    """A loss of the scales alone: 1/2 h (scale - centre)^2, summed."""

    def __init__(self, method: Dso, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.method, self.optimizer = method, method.optimizer()
        self.centre = torch.tensor(rng.uniform(0, 1, len(method.options.scales)), dtype=torch.float32)

    def run(self, steps: int = 10, start: int = 0, end: int | None = None) -> list[Tensor]:
        """Epochs; the scales after each."""
        seen = []
        for epoch in range(start, end or self.method.epochs):
            for step in range(steps):
                if self.method.takes_arch_step(epoch, epoch * steps + step):
                    self.step()
            self.method.end_epoch(epoch)
            seen.append(self.method.options.scales.detach().clone())
        return seen

    def step(self) -> None:
        """One step of the scales."""
        self.method.options.scales.grad = 0.02 * (self.method.options.scales.detach() - self.centre)
        self.optimizer.step()


@pytest.mark.parametrize(
    ("share", "adapt"), [(0.25, "flops"), (0.5, "flops"), (0.75, "flops"), (0.5, "none"), (0.5, "memory_access")]
)
def test_a_budget_is_met_and_nearly_used(share: float, adapt: Any) -> None:
    bound, ranked = share * COMPLETE, []
    for seed in (0, 1):
        flags = DsoFlags(gamma=1, pretrain=0.25, adapt=adapt)
        method = Dso(TABLE.choices, limits(f"flops<={bound}"), 0, flags, epochs=20)
        method.gamma = 0.001  # of the first epoch; later ones may have as much as they need
        Toy(method, seed).run()
        assert 0.95 * bound <= TABLE.exact(method.final().arch)["flops"] <= bound
        assert method.architecture_fixed_at() is not None
        ranked.append(method.ranked)
        gates = method.gates()
        assert {n: g.picks for n, g in gates.items()} == dict(method.final().arch)
        assert all(bool((g.weights > 0).all()) for g in gates.values() if g.weights is not None)
    assert np.mean(ranked) <= 20, "most zeros come of the penalty"


@pytest.mark.parametrize(("epochs", "steps"), [(6, 4), (6, 20), (16, 4)])
def test_a_short_search_prunes_step_by_step(epochs: int, steps: int) -> None:
    """From its second epoch on the cost is at most a line from the complete network to the budget, and near it."""
    bound = 0.5 * COMPLETE
    method = Dso(TABLE.choices, limits(f"flops<={bound}"), 0, DsoFlags(pretrain=0, deadline=1), epochs=epochs)
    toy, line = Toy(method, 0), np.linspace(COMPLETE, bound, epochs)
    for epoch in range(epochs):
        toy.run(steps, epoch, epoch + 1)
        cost = float(TABLE.of_rows(method.options.kept()[None])["flops"][0])
        assert 0.9 * line[epoch] <= cost <= line[epoch] * (1 + 1e-9)
        assert method.gamma <= method.flags.gamma
    assert method.short
    assert 0.95 * bound <= TABLE.exact(method.final().arch)["flops"] <= bound


TIED = CostTable(small(share=True), SHAPE)


@given(seeds, st.floats(1, 2), st.sampled_from([TABLE, TIED]))
@settings(deadline=None, max_examples=6)
def test_the_weakest_are_dropped_to_a_ceiling(seed: int, ceiling: float, table: CostTable) -> None:
    """Nothing is added, the cost is near the bound times the ceiling, and no edge could stay for nothing."""
    rng = np.random.default_rng(seed)
    controller = BudgetController(Limits(table, parse_budgets([f"flops<={COMPLETE / 2}"])))
    row = np.ones(table.encoding.width)
    least = controller.drop_weakest(row, rng.random(len(row)), ceiling)
    assert (least <= row).all()
    assert 0.9 * ceiling <= controller.reach(least[None])[0] <= ceiling
    for option in np.flatnonzero(least == 0)[::7]:
        more = least + np.eye(len(row))[option]
        isolated = table.encoding.encode([canonicalize(table.net, table.encoding.decode(more))])[0][option] == 0
        assert isolated or controller.reach(more[None])[0] > controller.reach(least[None])[0]


def test_a_long_search_leaves_the_pruning_to_the_penalty() -> None:
    method = Dso(TABLE.choices, limits(f"flops<={COMPLETE / 2}"), 0, DsoFlags(gamma=1, pretrain=0), epochs=6)
    Toy(method, 0).run()
    assert not method.short
    assert TABLE.exact(method.final().arch)["flops"] <= COMPLETE / 2


@given(seeds, st.sampled_from([0.1, 0.25, 0.5, 0.75]))
@settings(deadline=None, max_examples=5)
def test_random_networks_of_a_budget(seed: int, share: float) -> None:
    legal = limits(f"flops<={share * COMPLETE}")
    arch = legal.draw(np.random.default_rng(seed))
    assert arch is not None
    assert 0.4 * share * COMPLETE <= TABLE.exact(arch)["flops"] <= share * COMPLETE


def test_several_budgets_and_a_lower_one() -> None:
    method = Dso(TABLE.choices, limits(f"flops<={COMPLETE / 2}", "params<=6000"), 0, epochs=12)
    Toy(method, 0).run()
    exact = TABLE.exact(method.final().arch)
    assert exact["flops"] <= COMPLETE / 2
    assert exact["params"] <= 6000
    floor = Dso(TABLE.choices, limits(f"flops>={COMPLETE / 2}"), 0, DsoFlags(gamma=1.0, adapt="none"), epochs=12)
    Toy(floor, 0).run()
    assert TABLE.exact(floor.final().arch)["flops"] >= COMPLETE / 2


def test_without_a_budget_gamma_is_constant_and_decides() -> None:
    counts = []
    for gamma in (0.001, 0.003, 0.01):
        method = Dso(TABLE.choices, limits(), 0, DsoFlags(gamma=gamma, adapt="none"), epochs=30)
        Toy(method, 0).run(40)
        assert method.gamma == gamma
        counts.append(sum(map(len, method.final().arch.values())))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_order_of_steps() -> None:
    two = Dso(TABLE.choices, limits(), 0, DsoFlags(period=2), epochs=4)
    assert [two.takes_arch_step(epoch, step) for epoch, step in ((1, 9), (2, 10), (2, 11))] == [False, True, True]
    five = Dso(TABLE.choices, limits(), 0, DsoFlags(period=5), epochs=4)
    assert [five.takes_arch_step(3, step) for step in range(9)] == [step % 4 == 0 for step in range(9)]


def test_each_step_changes_its_own() -> None:
    net, method = small(), Dso(TABLE.choices, limits(), 0, DsoFlags(pretrain=0), epochs=2)
    scales, weights = method.optimizer(), SGD(net.parameters(), 0.1, momentum=0.9)
    x, labels = torch.randn(4, *SHAPE), torch.randint(10, (4,))

    def loss(detach: bool) -> Tensor:
        gates = method.gates()
        detached = {n: g._replace(weights=g.weights.detach()) for n, g in gates.items() if g.weights is not None}
        set_gates(net, detached if detach else gates)
        return functional.cross_entropy(net(x), labels)

    for _ in range(2):
        before, momenta = method.options.scales.detach().clone(), copy.deepcopy(scales.state_dict()["state"])
        loss(detach=True).backward()
        weights.step()
        assert torch.equal(method.options.scales.detach(), before)
        assert str(scales.state_dict()["state"]) == str(momenta)
        kept = copy.deepcopy(dict(net.named_parameters()))
        loss(detach=False).backward(inputs=[method.options.scales])
        scales.step()
        method.options.scales.grad = None
        assert not torch.equal(method.options.scales.detach(), before)
        assert bool((method.options.scales >= 0).all())
        assert all(torch.equal(p, kept[n]) for n, p in net.named_parameters())


def test_adaptive_flops() -> None:
    """Equal to 1 for the complete block, falling with every operation that costs something."""
    assert TABLE.dag_costs is not None
    costs, rng = BlockCosts(TABLE.dag_costs), np.random.default_rng(0)
    row = TABLE.encoding.encode([TABLE.fullest])[0]
    assert (costs.shares(row, 0) == 1).all()
    block = costs.blocks[0][0]
    order = rng.permutation(block)
    shares = []
    for option in order:
        row[option] = 0
        shares.append(float(costs.shares(row, 0)[block[0]]))
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0
    # Of the 24 convolutions of cost c + 9, c + 25 (per channel and pixel; c = 4 channels) and c:
    one_less = TABLE.encoding.encode([TABLE.fullest])[0]
    one_less[block[-1]] = 0  # the last operation, a pooling, loses its output convolution
    unit = 8 * (4 + (9 + 25) / 2) + 16 * 4
    assert costs.shares(one_less, 0)[block[0]] == pytest.approx(1 - 4 / unit)


@pytest.mark.parametrize("adapt", ["flops", "memory_access"])
def test_factors_follow_every_step_of_the_scales(adapt: Any) -> None:
    flags = DsoFlags(gamma=0.02, pretrain=0, adapt=adapt, prune_every=9)
    method = Dso(TABLE.choices, limits(), 0, flags, epochs=9)
    toy, changes = Toy(method, 0), 0
    method.end_epoch(0)
    for _ in range(60):
        before = method.penalty.clone()
        toy.step()
        factors = Penalties(TABLE, adapt).at((method.options.scales > 0).numpy().astype(float))
        torch.testing.assert_close(method.penalty, torch.tensor(0.02 * factors, dtype=torch.float32))
        changes += not torch.equal(method.penalty, before)
    assert changes > 3 if adapt == "flops" else changes == 0


def test_adaptive_memory_access() -> None:
    """Ratios as the published constants, which are those of 96 channels at 16x16 pixels."""
    with torch.device("meta"):
        table = CostTable(dso(width=96, depth=1, shape=(3, 16, 16)), (3, 16, 16))
    assert table.dag_costs is not None
    factors = BlockCosts(table.dag_costs).operations(list(table.costs).index("memory_access"))
    first = table.encoding.columns["stage1.block1.level2.sep3"]
    sizes = [len(table.choices[f"stage1.block1.level2.{op}"].options) for op in ("sep3", "sep5", "max3", "avg3")]
    starts = first + np.cumsum([0, *sizes[:-1]])
    np.testing.assert_allclose(factors[starts], [0.986, 1.0, 0.447, 0.447], atol=5e-4)


def timed(seed: int) -> CostTable:
    """The space with latency from a made-up table."""
    net, rng = small(share=True), np.random.default_rng(seed)
    complete = {name: Gate(tuple(range(len(choice.options)))) for name, choice in choices(net).items()}
    set_gates(net, complete)
    layers = {measured_part(layer) for layer in trace(net, SHAPE) if takes_time(layer)}
    timings = {layer: Timing(float(rng.uniform(0.1, 2)), 0.0) for layer in sorted(layers, key=str)}
    return CostTable(net, SHAPE, {**COSTS, LATENCY: LatencyTable("", Settings(), {}, timings).cost()})


@pytest.mark.parametrize("seed", [0, 1])
def test_adaptive_latency(seed: int) -> None:
    """From a half to 1 with the time that the network saves without an option, which the reference traces."""
    table, rng = timed(seed), np.random.default_rng(seed)
    row = (rng.random(table.encoding.width) < 0.3).astype(float)
    row[[table.encoding.columns[f"reduce{i}"] for i in (1, 2)]] = 1
    factors, kept = Penalties(table, "latency").at(row), np.flatnonzero(row)
    whole, saved = table.exact(table.encoding.decode(row))[LATENCY], []
    for option in kept:
        name = next(n for n, first in reversed(table.encoding.columns.items()) if first <= option)
        arch = table.encoding.decode(row)
        left = tuple(pick for pick in arch[name] if pick + table.encoding.columns[name] != option)
        if len(left) < table.choices[name].least:  # it cannot be left out, but its part of the time is known
            saved.append(whole - table.of_rows(row - np.eye(table.encoding.width)[[option]])[LATENCY][0])
        else:
            saved.append(whole - table.exact(arch.replace({name: left}))[LATENCY])
    order = np.argsort(saved, kind="stable")
    assert factors[kept].min() == 0.5
    assert factors[kept].max() == 1
    assert (np.diff(factors[kept][order]) >= -1e-9).all()
    assert len(np.unique(factors[kept].round(9))) > 3
    share = (np.array(saved) - min(saved)) / np.ptp(saved)
    np.testing.assert_allclose(factors[kept], 0.5 + 0.5 * share, atol=1e-6)
    assert (factors[row == 0] == 1).all()
    assert (Penalties(table, "latency").at(0 * row) == 1).all()


def events_of(period: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, frozenset[int]]]:
    """Each step of a training of an epoch without and two with scales, and the numbers of the images it saw."""
    events: list[tuple[str, frozenset[int]]] = []
    seen: list[frozenset[int]] = []
    prepared, step, end_step = Data.prepared, trainer.update, Dso._end_step

    def shown(self: Data, images: Tensor, *args: Any) -> Tensor:
        seen.append(frozenset(images[:, 0, 0, 0].tolist()))
        return prepared(self, images, *args)

    def of_weights(*args: Any, **flags: Any) -> None:
        step(*args, **flags)
        events.append(("weights", seen.pop()))

    def of_scales(self: Dso) -> None:
        end_step(self)
        events.append(("scales", seen.pop()))

    monkeypatch.setattr(Data, "prepared", shown)
    monkeypatch.setattr(trainer, "update", of_weights)
    monkeypatch.setattr(Dso, "_end_step", of_scales)
    searched(Recipe(epochs=3, batch=6), folder, period)
    assert not seen
    return events


def searched(recipe: Recipe, folder: Path, period: int = 2) -> None:
    """A training of an epoch without and the others with scales, on 120 images of which every other one is held out."""
    images = torch.zeros(120, *SHAPE, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(120)
    every = Split(images, torch.arange(120) % 10)
    train, val = every.subset(torch.arange(0, 120, 2)), every.subset(torch.arange(1, 120, 2))
    data = Data(tuple("0123456789"), train, val, val, (0.5,), (0.5,))
    net, epochs = small(width=2, share=True), recipe.epochs
    flags = DsoFlags(pretrain=1 / epochs, period=period)
    method = Dso(choices(net), Limits(CostTable(net, SHAPE)), 0, flags, epochs)
    run, fabric = Run(folder), Device("cpu").fabric()
    logger = RunLogger(run, quiet=True)
    train_supernet(fabric, net, method, data, Classification(10), recipe, 0, logger, Checkpoint(run, "supernet", 1e9))


def test_the_search_starts_without_momentum_and_clips_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clipped to nearly nothing, weights do not move in the search; they would by the momentum of the pre-training."""
    weights: list[list[Tensor]] = []
    update = trainer.update

    def watched(fabric: Any, model: nn.Module, *args: Any, **flags: Any) -> None:
        weights.append([p.detach().clone() for p in model.parameters()])
        update(fabric, model, *args, **flags)
        weights.append([p.detach().clone() for p in model.parameters()])

    monkeypatch.setattr(trainer, "update", watched)
    searched(Recipe(epochs=2, batch=6, clip=0.0, clip_value=1e-12, weight_decay=0.0), tmp_path)
    moved = [max(float((p - q).abs().max()) for p, q in zip(a, b, strict=True)) for a, b in pairwise(weights)][::2]
    assert len(moved) == 20
    assert min(moved[:10]) > 1e-4
    assert max(moved[10:]) < 1e-9


@pytest.mark.parametrize("period", [2, 5])
def test_weights_and_scales_learn_from_different_images(
    period: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of ``period`` steps one is of the scales, once the complete network was trained."""
    events = events_of(period, tmp_path, monkeypatch)
    assert [who for who, _ in events[:10]] == ["weights"] * 10
    told = [who for who, _ in events[10:]]
    first = told.index("scales")  # rounds are counted from the first step of the pre-training
    assert first == -10 % (period - 1)
    assert told[first:] == (["scales", *["weights"] * (period - 1)] * 20)[: len(told) - first]
    assert told.count("weights") == 20
    halves = {who: frozenset().union(*(images for by, images in events if by == who)) for who, _ in events}
    assert halves["weights"] == set(range(0, 120, 2))
    assert halves["scales"] <= set(range(1, 120, 2))
    assert halves["scales"]


def test_state_resumes_it() -> None:
    check_method(lambda limits, seed: Dso(limits.choices, limits, seed), limits())
    budget = limits(f"flops<={COMPLETE / 2}")
    whole, part, rest = (Dso(TABLE.choices, budget, 0, epochs=8) for _ in range(3))
    expected = Toy(whole, 1).run()
    for stop in (3, 6):
        first = Toy(part, 1)
        first.run(end=stop)
        second = Toy(rest, 1)
        rest.load_state_dict(copy.deepcopy(part.state_dict()))
        second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
        seen = second.run(start=stop)
        assert all(torch.equal(a, b) for a, b in zip(seen, expected[stop:], strict=True))
        assert rest.final().arch == whole.final().arch
        part, rest = (Dso(TABLE.choices, budget, 0, epochs=8) for _ in range(2))


def test_choices_that_must_not_keep_all_are_refused() -> None:
    table = CostTable(tiny(), SHAPE)
    with pytest.raises(UserError, match="'block1' keeps 1 to 1 of 4 options; DSO-NAS starts from all"):
        Dso(table.choices, Limits(table), 0)
    with pytest.raises(UserError, match=r"--method.adapt latency: expected --latency TABLE"):
        Dso(TABLE.choices, limits(), 0, DsoFlags(adapt="latency"))


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("period", 1, ">= 2, got 1"),
        ("prune_every", 0, ">= 1, got 0"),
        ("gamma", -1.0, ">= 0, got -1.0"),
        ("momentum", 1.0, "0 <= momentum < 1, got 1.0"),
        ("pretrain", 1.0, "0 <= pretrain < 1, got 1.0"),
        ("deadline", 0.0, "0 < deadline <= 1, got 0.0"),
        ("adapt", "none of it", "one of none, flops, memory_access, latency, got 'none of it'"),
    ],
)
def test_a_bad_flag_is_named_alone(flag: str, value: Any, expected: str) -> None:
    with pytest.raises(UserError, match=f"^{flag}: expected {expected}$"):
        DsoFlags(**{flag: value})
    with pytest.raises(UserError, match=f"^--method.{flag}: expected {expected}$"):
        Plugin("dso", {flag: value}).build("method", TABLE.choices, limits(), 0)


@given(st.floats(0.05, 0.9), seeds)
@settings(deadline=None, max_examples=10)
def test_needed_is_the_least_threshold(share: float, seed: int) -> None:
    method = Dso(TABLE.choices, limits(f"flops<={share * COMPLETE}"), 0)
    row = TABLE.encoding.encode([TABLE.fullest])[0]
    strengths = np.random.default_rng(seed).random(len(row))
    for span, _ in method.controller.demands:
        strengths[span.start] = 2
    level = method.controller.needed(row, strengths)
    assert method.controller.met(row * (strengths > level))
    assert not method.controller.met(row * (strengths >= level))


def test_what_a_shrunk_search_found(tmp_path: Path) -> None:
    """It can be drawn, kept as it is, and loaded. Searches that are killed when they have shrunk: test_resume.py."""
    whole = tmp_path / "whole"
    flags = SearchFlags(
        space=Plugin("dso", {"width": 2, "depth": 1}), method=Plugin("dso", {"prune_every": 1}), budget=["flops<=60e3"],
        out=whole, search=Recipe(epochs=3, batch=256, lr=0.05), accelerator="cpu",
    )  # fmt: skip
    search(flags)
    assert len(torch.load(whole / "supernet.pt", weights_only=True)["net"]) < len(small(width=2).state_dict())
    best = json.loads((whole / "best.json").read_text())
    assert 57e3 <= best["costs"]["flops"] <= 60e3
    text = report(whole).read_text()
    assert "A penalty on the scales prunes the complete network" in text
    assert "stage1.block1: " in text
    retrain(RetrainFlags(run=whole, no_training=True, accelerator="cpu"))
    assert not load(whole).training
