"""DARTS and GDAS: their gates, gradients, budgets and state."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from sparsenas.core.arch import Arch
from sparsenas.core.gate import choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import Budget, CostTable, Limits
from sparsenas.errors import UserError
from sparsenas.methods import Darts, DartsFlags, Gdas, GdasFlags
from sparsenas.methods.constrained_argmax import sources
from sparsenas.methods.relaxed import grouped_softmax
from sparsenas.nn.blocks import conv_bn
from sparsenas.spaces import darts, nasbench201, nasbench_macro
from sparsenas.testing import check_method

SHAPE = (1, 8, 8)
MACRO = CostTable(nasbench_macro(shape=SHAPE), SHAPE)
CELLS = CostTable(darts(width=4, cells=3, shape=SHAPE), SHAPE)
EDGES = CostTable(nasbench201(width=4, cells=1, shape=SHAPE), SHAPE)
seeds = st.integers(0, 2**32 - 1)


def shake(method: Darts | Gdas, seed: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for alpha in method.alphas.each:
        alpha.data = scale * torch.randn(alpha.shape, generator=generator)


def parts(name: str, values: Tensor, of: Mapping[str, tuple[int, ...]]) -> list[Tensor]:
    """The values of a choice by predecessor."""
    return [values[[i for i, g in enumerate(of[name]) if g == group]] for group in sorted(set(of[name]))]


@given(seeds)
@settings(max_examples=10)
def test_darts_runs_all_options_with_probabilities(seed: int) -> None:
    for table in (MACRO, CELLS):
        method = Darts(table.choices, Limits(table), 0)
        shake(method, seed)
        for (name, gate), alpha in zip(method.gates().items(), method.alphas.each, strict=True):
            assert gate.picks == tuple(range(len(table.choices[name].options)))
            assert gate.weights is not None
            assert float(gate.weights.detach().sum()) == pytest.approx(1, abs=1e-6)
            torch.testing.assert_close(gate.weights, alpha.exp() / alpha.exp().sum())


@given(seeds)
@settings(max_examples=10)
def test_darts_rule_has_a_softmax_for_each_predecessor_and_keeps_distinct_ones(seed: int) -> None:
    method = Darts(CELLS.choices, Limits(CELLS), 0, DartsFlags(distinct_sources=True))
    shake(method, seed)
    of = {name: sources(choice) for name, choice in CELLS.choices.items()}
    for name, gate in method.gates().items():
        assert gate.weights is not None
        assert all(float(part.detach().sum()) == pytest.approx(1, abs=1e-6) for part in parts(name, gate.weights, of))
    final = method.final()
    assert final is not None
    shares = {name: gate.weights.tolist() for name, gate in method.gates().items() if gate.weights is not None}
    for name, picks in final.arch.items():
        best = sorted(range(len(of[name])), key=lambda i: -shares[name][i])
        tops = [next(i for i in best if of[name][i] == source) for source in sorted(set(of[name]))]
        assert set(picks) == set(sorted(tops, key=best.index)[:2])


@given(seeds, st.floats(0.1, 10))
@settings(max_examples=10)
def test_gdas_samples_legal_picks_of_weight_one(seed: int, tau: float) -> None:
    for table in (MACRO, CELLS):
        method = Gdas(table.choices, Limits(table), seed % 1000, GdasFlags(tau_start=tau))
        shake(method, seed)
        for name, gate in method.gates().items():
            table.choices[name].check(gate.picks)
            assert gate.weights is not None
            assert gate.weights.tolist() == [1.0] * len(gate.picks)
            assert gate.weights.requires_grad


def test_gdas_samples_one_operation_for_each_predecessor() -> None:
    method = Gdas(CELLS.choices, Limits(CELLS), 0, GdasFlags(distinct_sources=True))
    for name, gate in method.gates().items():
        of = sources(CELLS.choices[name])
        assert sorted(of[pick] for pick in gate.picks) == sorted(set(of))


def test_gdas_samples_with_the_probabilities_of_the_softmax() -> None:
    method = Gdas(MACRO.choices, Limits(MACRO), 0)
    shake(method, 1)
    counts = {name: np.zeros(3) for name in MACRO.choices}
    for _ in range(600):
        for name, gate in method.gates().items():
            counts[name][gate.picks[0]] += 1 / 600
    for name, alpha in method.alphas.items():
        assert np.abs(counts[name] - alpha.softmax(0).detach().numpy()).max() < 0.08


def test_the_gradient_of_gdas_is_that_of_the_gumbel_softmax() -> None:
    method, twin = (Gdas(MACRO.choices, Limits(MACRO), 3, GdasFlags(tau_start=2.0)) for _ in range(2))
    name, gate = next(iter(method.gates().items()))
    assert gate.weights is not None
    gate.weights.sum().backward()
    alpha = twin.alphas.each[0]
    noisy = (alpha + torch.tensor(twin.rng.gumbel(size=3), dtype=torch.float32)) / 2.0
    (noisy.exp() / noisy.exp().sum())[gate.picks[0]].backward()
    torch.testing.assert_close(method.alphas.each[0].grad, alpha.grad)
    assert gate.picks == (int(noisy.argmax()),)
    assert name == next(iter(MACRO.choices))


def test_the_temperature_falls_linearly() -> None:
    method = Gdas(MACRO.choices, Limits(MACRO), 0, epochs=4)
    taus = [method.tau]
    for epoch in range(4):
        method.end_epoch(epoch)
        taus.append(method.tau)
    assert taus == pytest.approx([10, 6.7, 3.4, 0.1, 0.1])


def test_logits_wait_for_the_end_of_the_pretraining() -> None:
    method = Gdas(MACRO.choices, Limits(MACRO), 0, GdasFlags(pretrain=0.5), epochs=4)
    assert [method.takes_arch_step(epoch, 7) for epoch in range(4)] == [False, False, True, True]


@given(seeds)
@settings(max_examples=10)
def test_gdas_without_an_operation_is_gdas_on_the_other_logits(seed: int) -> None:
    method = Gdas(EDGES.choices, Limits(EDGES), seed % 1000, GdasFlags(tau_start=2.0, without="none"))
    twin = Gdas(EDGES.choices, Limits(EDGES), seed % 1000)
    shake(method, seed)
    shake(twin, seed)
    for (name, gate), full, alpha in zip(method.gates().items(), method.alphas.each, twin.alphas.each, strict=True):
        assert gate.weights is not None
        gate.weights.sum().backward()
        noisy = (alpha + torch.tensor(twin.rng.gumbel(size=5), dtype=torch.float32))[1:] / 2.0
        soft = noisy.exp() / noisy.exp().sum()
        soft[gate.picks[0] - 1].backward()
        assert gate.picks == (1 + int(noisy.argmax()),)
        torch.testing.assert_close(full.grad, alpha.grad)
        assert method.final().arch[name] == (1 + int(alpha[1:].argmax()),)
        assert method.alphas.facts()["probabilities"][name][0] == 0


def test_an_operation_that_is_left_out_does_not_count_for_the_entropy() -> None:
    method = Gdas(EDGES.choices, Limits(EDGES), 0, GdasFlags(without="none"))
    assert method.alphas.entropy() == pytest.approx(1, abs=1e-5)


def test_a_budget_may_keep_an_operation_that_is_left_out() -> None:
    low, high = (EDGES.exact(arch)["flops"] for arch in EDGES.extremes("flops"))
    for share in (0.0, 0.3):
        limits = Limits(EDGES, [Budget("flops", at_most=low + share * (high - low))])
        method = Gdas(EDGES.choices, limits, 0, GdasFlags(without="nor_conv_3x3"))
        shake(method, 1)
        arch = method.final().arch
        assert limits.legal([arch])[0]
        assert all(picks != (3,) for picks in arch.values())
    flops = EDGES.exact(EDGES.extremes("flops")[1])["flops"]
    needed = Gdas(EDGES.choices, Limits(EDGES, [Budget("flops", at_least=flops)]), 0, GdasFlags(without="nor_conv_3x3"))
    assert all(picks == (3,) for picks in needed.final().arch.values())


def test_a_strong_option_is_no_reason_to_keep_an_operation_that_is_left_out() -> None:
    def through(channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(8, channels, 1), nn.Conv2d(channels, 8, 1))

    joins = [Join.of(name, {"a": through(1), "b": through(9), "c": through(5)}) for name in ("first", "last")]
    table = CostTable(nn.Sequential(*joins), (8, 4, 4))
    both_c = table.exact(Arch(table.choices, {"first": (2,), "last": (2,)}))["flops"]
    limits = Limits(table, [Budget("flops", at_most=both_c)])
    for without, kept in (("", {0, 1}), ("a", {2})):
        method = Gdas(table.choices, limits, 0, GdasFlags(without=without))
        for alpha in method.alphas.each:
            alpha.data = torch.tensor([0.0, 5.0, 0.0])
        assert {pick for picks in method.final().arch.values() for pick in picks} == kept


@pytest.mark.parametrize(
    ("table", "flags", "message"),
    [
        (EDGES, GdasFlags(without="zero"), "--method.without: expected an operation of the space .none, skip_connect,"),
        (CELLS, GdasFlags(without="1:skip_connect"), "--method.without: expected an operation of the space"),
    ],
)
def test_what_is_left_out_is_checked(table: CostTable, flags: GdasFlags, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Gdas(table.choices, Limits(table), 0, flags)


def test_a_choice_that_needs_what_is_left_out_is_refused() -> None:
    net = nn.Sequential(Join.of("edge", {"0:a": nn.Identity(), "0:b": nn.Identity(), "1:a": nn.Identity()}))
    table = CostTable(net, SHAPE)
    Gdas(table.choices, Limits(table), 0, GdasFlags(without="a"))
    with pytest.raises(UserError, match="--method.without: choice 'edge' needs 'a': too few options are left"):
        Gdas(table.choices, Limits(table), 0, GdasFlags(without="a", distinct_sources=True))


def test_only_the_sampled_operation_runs() -> None:
    ops = {f"conv{k}": conv_bn(2, 2, k) for k in (1, 3, 5)}
    net = nn.Sequential(conv_bn(1, 2, 3), Join.of("op", ops), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    method = Gdas(choices(net), Limits(CostTable(net, SHAPE)), 0)
    ran: list[str] = []
    for label, op in ops.items():
        op.register_forward_hook(lambda *_, label=label: ran.append(label))
    for _ in range(5):
        gates = method.gates()
        set_gates(net, gates)
        ran.clear()
        net(torch.randn(2, *SHAPE))
        assert ran == [[*ops][gates["op"].picks[0]]]


def test_the_gradient_of_darts_is_that_of_the_mixture_by_hand() -> None:
    torch.manual_seed(0)
    ops = {"conv1": conv_bn(2, 2, 1), "conv3": conv_bn(2, 2, 3), "skip": nn.Identity(), "pool": nn.AvgPool2d(3, 1, 1)}
    stem, head = conv_bn(1, 2, 3), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 10))
    net = nn.Sequential(stem, Join.of("op", ops), head)
    method = Darts(choices(net), Limits(CostTable(net, SHAPE)), 0)
    shake(method, 5)
    x, labels = torch.randn(4, *SHAPE), torch.randint(10, (4,))
    set_gates(net, method.gates())
    loss = functional.cross_entropy(net(x), labels)
    loss.backward()
    alpha = method.alphas.each[0].detach().clone().requires_grad_()
    shares, y = alpha.exp() / alpha.exp().sum(), stem(x)
    mixture = torch.zeros_like(y)
    for share, op in zip(shares, ops.values(), strict=True):
        mixture = mixture + share * op(y)
    expected = functional.cross_entropy(head(mixture), labels)
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(method.alphas.each[0].grad, alpha.grad)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), seeds)
def test_the_softmax_of_groups(groups: list[int], seed: int) -> None:
    logits = 5 * torch.randn(len(groups), generator=torch.Generator().manual_seed(seed))
    found = grouped_softmax(logits, groups)
    for group in set(groups):
        index = [i for i, g in enumerate(groups) if g == group]
        torch.testing.assert_close(found[index], logits[index].exp() / logits[index].exp().sum())


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("table", [MACRO, CELLS], ids=["macro", "cells"])
@pytest.mark.parametrize("make", [Darts, Gdas])
def test_the_final_architecture_is_within_the_budget(make: type[Darts | Gdas], table: CostTable, share: float) -> None:
    low, high = (table.exact(arch)["flops"] for arch in table.extremes("flops"))
    limits = Limits(table, [Budget("flops", at_most=low + share * (high - low))])
    for seed in range(5):
        method = make(table.choices, limits, 0)
        shake(method, seed, 3.0)
        final = method.final()
        assert final is not None
        assert limits.legal([final.arch])[0]


@pytest.mark.parametrize("table", [MACRO, CELLS], ids=["macro", "cells"])
@pytest.mark.parametrize("distinct", [False, True])
def test_methods_keep_the_contract(table: CostTable, distinct: bool) -> None:
    if distinct and table is MACRO:
        with pytest.raises(UserError, match="--method.distinct_sources: expected options such as 1:skip_connect"):
            Darts(table.choices, Limits(table), 0, DartsFlags(distinct_sources=True))
        return
    limits, flags = Limits(table), (DartsFlags(distinct_sources=distinct), GdasFlags(distinct_sources=distinct))
    check_method(lambda within, seed: Darts(table.choices, within, seed, flags[0]), limits, 3)
    check_method(lambda within, seed: Gdas(table.choices, within, seed, flags[1], epochs=2), limits, 3)


def test_gdas_resumes_within_an_epoch() -> None:
    first, second = (Gdas(MACRO.choices, Limits(MACRO), seed, epochs=5) for seed in (0, 1))
    first.end_epoch(2)
    first.gates()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.tau == first.tau
    assert [g.picks for g in first.gates().values()] == [g.picks for g in second.gates().values()]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (lambda: GdasFlags(tau_start=0), "tau_start: expected > 0, got 0"),
        (lambda: GdasFlags(lr=-1), "lr: expected >= 0, got -1"),
        (lambda: GdasFlags(pretrain=1), "pretrain: expected 0 <= pretrain < 1, got 1"),
        (lambda: DartsFlags(weight_decay=-1), "weight_decay: expected >= 0, got -1"),
    ],
)
def test_flags_are_checked(flags: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        flags()  # type: ignore[operator]


@pytest.mark.parametrize("make", [Darts, Gdas])
def test_an_answer_that_is_the_start_says_so(make: type[Darts | Gdas]) -> None:
    method = make(MACRO.choices, Limits(MACRO), 0)
    assert "start of the search" in method.warning()
    shake(method, 1)
    assert not method.warning()
