"""Sampling the paths of training: uniform, and uniform over bins of a cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import Budget, CostTable, Limits, parse_budgets
from sparsenas.errors import UserError
from sparsenas.methods import Method, Random, RandomFlags, Spos, SposFlags
from sparsenas.methods.spos.sampling import Bins, BinSampler, FairSampler
from sparsenas.spaces import nasbench_macro, tiny
from sparsenas.training.optimizers import make_optimizer
from sparsenas.training.recipe import Recipe


@pytest.fixture(scope="module")
def table() -> CostTable:
    return CostTable(tiny(), (1, 8, 8))


@pytest.mark.parametrize("method", [Spos, Random])
def test_uniform_sampling_is_uniform(method: type[Method], table: CostTable) -> None:
    spos = method(table.choices, Limits(table), seed=0)
    paths = [spos.gates() for _ in range(4000)]
    for name, choice in table.choices.items():
        counts = np.bincount([path[name].picks[0] for path in paths], minlength=len(choice.options))
        assert chisquare(counts).pvalue > 1e-4
        assert all(len(path[name].picks) == 1 and path[name].weights is None for path in paths)


def some_of_three() -> nn.Module:
    return Join.of("some", {"a": nn.Identity(), "b": nn.ReLU(), "c": nn.Tanh()}, least=1, most=3)


@pytest.mark.parametrize("make", [tiny, nasbench_macro, some_of_three])
def test_architectures_are_decoded_together_as_one_by_one(make: Callable[[], nn.Module]) -> None:
    table = CostTable(make(), (3, 8, 8) if make is not tiny else (1, 8, 8))
    rows = table.encoding.draw(np.random.default_rng(0), 50)
    archs = table.encoding.decode_all(rows)
    assert archs == [table.encoding.decode(row) for row in rows]
    assert np.array_equal(table.encoding.encode(archs), rows)
    assert table.encoding.decode_all(rows[:0]) == []


def test_bins_are_filled_uniformly(table: CostTable) -> None:
    bins = Bins("flops", 200e3, 600e3, 7)
    sampler = BinSampler(table, bins, np.random.default_rng(0))
    flops = table([sampler.draw() for _ in range(3500)])["flops"]
    assert flops.min() >= 200e3
    assert flops.max() <= 600e3
    assert chisquare(np.bincount(bins.of(flops), minlength=7)).pvalue > 1e-3
    assert sampler.accepted == 3500
    assert sampler.drawn > sampler.accepted


def test_paths_within_a_bin_are_uniform(table: CostTable) -> None:
    """Against plain rejection: the distribution of each choice given the bin."""
    sampler = BinSampler(table, Bins("flops", 300e3, 400e3, 1), np.random.default_rng(0))
    drawn = [sampler.draw() for _ in range(4000)]
    rng = np.random.default_rng(1)
    plain = [Arch.sample(table.choices, rng) for _ in range(20000)]
    flops = table(plain)["flops"]
    kept = [arch for arch, f in zip(plain, flops, strict=True) if 300e3 <= f <= 400e3]
    for name, choice in table.choices.items():
        n = len(choice.options)
        ours, theirs = (np.bincount([a[name][0] for a in archs], minlength=n) / len(archs) for archs in (drawn, kept))
        assert np.abs(ours - theirs).max() < 0.04


def test_an_unreachable_bin_is_an_error(table: CostTable) -> None:
    with pytest.raises(UserError, match=r"none of .* random architectures has 1,000 to 2,000 flops"):
        BinSampler(table, Bins("flops", 1000, 3000, 2), np.random.default_rng(0))
    with pytest.raises(UserError, match="--method.bin_range: expected LOW,HIGH with LOW < HIGH, got 3000,3000"):
        BinSampler(table, Bins("flops", 3000, 3000, 2), np.random.default_rng(0))


def test_the_default_range_follows_the_budget(table: CostTable) -> None:
    spos = Spos(table.choices, Limits(table, [Budget("flops", at_most=400e3)]), 0, SposFlags(bins=5))
    assert spos.paths.sampler is not None
    assert spos.paths.sampler.bins.high == pytest.approx(400e3 * 12 / 11)
    with pytest.raises(UserError, match="bin_cost"):
        Spos(table.choices, Limits(table), 0, SposFlags(bins=5, bin_cost="watts"))


@pytest.mark.parametrize(("bins", "fair"), [(0, False), (3, False), (0, True)])
def test_the_state_continues_the_same_paths(bins: int, fair: bool, table: CostTable) -> None:
    first, second = (Random(table.choices, Limits(table), s, RandomFlags(bins=bins, fair=fair)) for s in (0, 1))
    for _ in range(301):
        first.gates()
    second.load_state_dict(first.state_dict())
    assert [first.gates() for _ in range(600)] == [second.gates() for _ in range(600)]


def test_unsampled_choices_get_neither_gradient_decay_nor_momentum() -> None:
    net = nasbench_macro()
    rng = np.random.default_rng(0)
    optimizer = make_optimizer(Recipe(weight_decay=0.1), net)
    open_choices = choices(net)

    def step(arch: Arch) -> None:
        set_gates(net, arch.gates())
        net(torch.randn(2, 3, 32, 32)).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(4):
        step(Arch.sample(open_choices, rng))
    momentum = {p: optimizer.state[p]["momentum_buffer"].clone() for p in net.parameters() if p in optimizer.state}
    before = {p: p.detach().clone() for p in net.parameters()}
    step(arch := Arch.from_text(open_choices, "01201201"))
    idle = {
        parameter
        for join, picks in zip(list(net)[1:9], arch.values(), strict=True)
        for i, op in enumerate(join.ops)
        if i not in picks
        for parameter in op.parameters()
    }
    assert idle
    for parameter in net.parameters():
        same = torch.equal(parameter, before[parameter])
        assert same == (parameter in idle)
        if parameter in idle and parameter in momentum:
            assert torch.equal(optimizer.state[parameter]["momentum_buffer"], momentum[parameter])


def test_budgets_that_cannot_be_met_are_refused(table: CostTable) -> None:
    with pytest.raises(UserError, match=r"flops<=10: this space reaches 36,416 to 1,500,480 flops"):
        Limits(table, parse_budgets(["flops<=10"]))
    with pytest.raises(UserError, match="no architecture of this space meets flops<=60000, params>=30000 at once$"):
        Limits(table, parse_budgets(["flops<=60e3", "params>=30e3"]))
    with pytest.raises(UserError, match="at once"):
        parse_budgets(["flops<=1", "flops>=2"])


def test_draws_keep_every_budget_even_where_uniform_draws_never_do(table: CostTable) -> None:
    limits = Limits(table, parse_budgets(["flops<=37e3"]))
    rng = np.random.default_rng(0)
    archs = [limits.draw(rng) for _ in range(3)]
    assert all(arch is not None and limits.legal([arch])[0] for arch in archs)


@pytest.mark.parametrize("space", [tiny, nasbench_macro])
def test_fair_sampling_trains_every_option_equally_often(space: Callable[[], nn.Module]) -> None:
    open_choices = choices(space())
    sampler = FairSampler(open_choices, np.random.default_rng(0))
    paths = [sampler.draw() for _ in range(12 * sampler.round)]
    for name, choice in open_choices.items():
        share, rest = divmod(sampler.round, len(choice.options))
        for i in range(0, len(paths), sampler.round):
            picked = np.bincount(
                [arch[name][0] for arch in paths[i : i + sampler.round]], minlength=len(choice.options)
            )
            assert set(picked) == ({share, share + 1} if rest else {share})
    assert len(set(paths)) > 0.9 * len(paths), "each choice has an order of its own"


def test_fairness_and_bins_exclude_each_other(table: CostTable) -> None:
    with pytest.raises(UserError, match="fair: expected false with 3 bins, got true"):
        SposFlags(fair=True, bins=3)
