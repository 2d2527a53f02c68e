"""The cell spaces: what runs, what it costs, and the notation of genotypes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.nets import seeds
from torch import nn

from nets import additive
from sparsenas.__main__ import main
from sparsenas.core.arch import Arch, space_size
from sparsenas.core.derive import derive
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.costs import CostTable, select
from sparsenas.costs.neighbours import neighbour_differences
from sparsenas.errors import UserError
from sparsenas.job.plugin import Plugin, space_of
from sparsenas.nn.auxiliary_head import WithAuxiliary
from sparsenas.nn.blocks import DropPath, FactorizedReduce, Scale, set_drop_path
from sparsenas.spaces import SPACES, darts, darts_imagenet
from sparsenas.spaces.darts import CellNetwork, ClosingNorms
from sparsenas.spaces.genotype import Genotype
from sparsenas.spaces.published import PUBLISHED, read_arch
from sparsenas.testing import check_space, shaken

SHAPE = (3, 16, 16)


def small(closing_norms: ClosingNorms = "pools", affine: bool = False) -> nn.Module:
    return darts(width=4, cells=3, closing_norms=closing_norms, affine=affine, shape=SHAPE)


def drawn(net: nn.Module, seed: int = 0) -> Arch:
    return Arch.sample(choices(net), np.random.default_rng(seed))


@pytest.mark.parametrize(("closing_norms", "affine"), [("pools", False), ("all", True)])
def test_conformance(closing_norms: ClosingNorms, affine: bool) -> None:
    check_space(lambda: small(closing_norms, affine), SHAPE, archs=6)


def test_large_images() -> None:
    net = shaken(darts_imagenet(width=4, cells=4, shape=(3, 40, 40), classes=5)).eval()
    for seed in range(5):
        arch, x = drawn(net, seed), torch.randn(2, 3, 40, 40)
        set_gates(net, arch.gates())
        torch.testing.assert_close(derive(net, arch.gates()).eval()(x), net(x), rtol=1e-4, atol=1e-4)


def test_the_space_is_the_published_one() -> None:
    open_choices = choices(small())
    names = [f"{kind}.node{i}" for kind in ("reduce", "normal") for i in (1, 2, 3, 4)]
    assert sorted(open_choices) == sorted(names)
    assert [len(open_choices[name].options) for name in sorted(names)] == [14, 21, 28, 35] * 2
    assert open_choices["normal.node1"].options[3] == "0:sep_conv_3x3"
    assert open_choices["normal.node4"].options[-1] == "4:dil_conv_5x5"
    assert space_size(open_choices) == (91 * 210 * 378 * 595) ** 2


def test_exactly_two_operations_run_in_a_node() -> None:
    net = small()
    ran: Counter[str] = Counter()
    for name, module in net.named_modules():
        if isinstance(module, Join):
            for option, op in zip(module.choice.options, module.ops, strict=True):
                op.register_forward_hook(lambda m, i, o, key=f"{name}/{module.choice.name}/{option}": ran.update([key]))
    arch = drawn(net)
    set_gates(net, arch.gates())
    net(torch.randn(2, *SHAPE))
    assert set(ran.values()) == {1}
    joins = [(name, m.choice) for name, m in net.named_modules() if isinstance(m, Join)]
    kept = {f"{name}/{c.name}/{c.options[pick]}" for name, c in joins for pick in arch[c.name]}
    assert set(ran) == kept
    assert len(kept) == 2 * 4 * 3


# Parameters of the published networks, stem and classifier included, auxiliary head not.
PARAMETERS = {
    "ista_twostage": 3_316_726,
    "ista_onestage": 3_363_598,
    "ista_onestage_norms": 3_371_806,
    "ista_imagenet": 5_651_392,
    "darts_v1": 3_169_414,
    "darts_v2": 3_349_342,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_published_networks(name: str) -> None:
    with torch.device("meta"):
        space = space_of(name, None)
        assert space is not None
        net = space.build("space")
    plain = derive(net, read_arch(choices(net), name).gates(), share_weights=True)
    assert sum(p.numel() for p in plain.parameters()) == PARAMETERS[name]


def test_flops_of_the_network_found_on_imagenet() -> None:
    with torch.device("meta"):
        net = darts_imagenet()
    exact = CostTable(net, (3, 224, 224)).exact(read_arch(choices(net), "ista_imagenet"))
    assert exact["flops"] == 621_084_480


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_genotypes_go_round(seed: int) -> None:
    net = small()
    arch = drawn(net, seed)
    genotype = Genotype.of(arch.to_json())
    assert Genotype.parse(str(genotype)) == genotype
    assert Arch.from_json(arch.choices, genotype.labels()) == arch


def test_a_genotype_as_published() -> None:
    text = """Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1),
    ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5],
    reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0),
    ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"""
    assert Genotype.parse(text).labels() == PUBLISHED["darts_v2"].arch


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nonsense(", "expected Genotype"),
        ("Genotype(normal=[('skip_connect', 0)], reduce=[])", "expected 8 connections of normal cells, got 1"),
        (str(Genotype((("skip_connect", 2),) * 8, ())), "predecessor 0..1 in node 1 of normal cells"),
        (str(Genotype((("conv", 0),) * 8, ())), "expected an operation of max_pool_3x3"),
    ],
)
def test_wrong_genotypes(text: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Genotype.parse(text).labels()


def test_drop_path_is_for_training_and_keeps_the_mean() -> None:
    x, drop = torch.ones(4000, 2, 3, 3), DropPath(0.2)
    y = drop(x)
    assert set(y.unique().tolist()) == {0.0, 1.25}
    assert bool((y == y[:, :1, :1, :1]).all())
    assert float(y.mean()) == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(x), x)


def test_drop_path_reaches_found_networks() -> None:
    net = small().eval()
    plain = derive(net, read_arch(choices(net), "ista_twostage").gates()).eval()
    x = torch.randn(8, *SHAPE)
    expected = plain(x)
    set_drop_path(plain, 0.9)
    assert torch.equal(plain(x), expected)
    assert any(m.rate == 0.9 for m in plain.modules() if isinstance(m, DropPath))
    before = plain.train()(x)
    assert not torch.allclose(before, plain(x))


@pytest.mark.parametrize(("closing_norms", "spared"), [("none", True), ("pools", True), ("all", False)])
def test_drop_path_spares_the_bare_identity_only(closing_norms: ClosingNorms, spared: bool) -> None:
    """An identity with a closing norm is dropped like any other operation, as in the released one-stage code."""
    joins = [module for module in small(closing_norms).modules() if isinstance(module, Join)]
    ops = [(option, op) for join in joins for option, op in zip(join.choice.options, join.ops, strict=True)]
    kept = [(option, op) for option, op in ops if not any(isinstance(part, DropPath) for part in op.modules())]
    assert bool(kept) == spared
    assert all(option.endswith("skip_connect") and type(op) is nn.Identity for option, op in kept)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("closing_norms", ["pools", "all"])
def test_connection_weights_fold_into_the_found_network(closing_norms: ClosingNorms, training: bool) -> None:
    torch.manual_seed(0)
    net, rng = shaken(small(closing_norms)).double(), np.random.default_rng(0)
    gates = {name: Gate(picks, torch.tensor(rng.normal(size=2))) for name, picks in drawn(net).items()}
    x = torch.randn(4, *SHAPE, dtype=torch.double)
    plain = derive(net, gates).train(training)
    set_gates(net.train(training), gates)
    torch.testing.assert_close(plain(x), net(x))
    if closing_norms == "all":  # every operation ends with a batch norm, which takes the weight
        assert not any(isinstance(module, Scale) for module in plain.modules())


@pytest.mark.parametrize("pixels", [16, 28, 32])
def test_the_auxiliary_head_is_for_training_only(pixels: int) -> None:
    net = darts(width=4, cells=3, shape=(3, pixels, pixels))
    assert isinstance(net, CellNetwork)
    plain = derive(net, drawn(net).gates())
    assert isinstance(plain, CellNetwork)
    whole, x = WithAuxiliary(plain), torch.randn(2, 3, pixels, pixels)
    logits, auxiliary = whole.train()(x)
    assert logits.shape == auxiliary.shape == (2, 10)
    torch.testing.assert_close(whole.eval()(x), plain(x))


@pytest.mark.parametrize(("space", "norms"), [(darts, [128, 768]), (darts_imagenet, [128])])
def test_the_auxiliary_head_for_imagenet_has_one_norm_less(space: type, norms: list[int]) -> None:
    head = WithAuxiliary(space(width=4, cells=3, shape=(3, 64, 64))).auxiliary
    assert [layer.num_features for layer in head if isinstance(layer, nn.BatchNorm2d)] == norms


def test_images_of_odd_size_are_halved() -> None:
    assert FactorizedReduce(4, 5)(torch.randn(2, 4, 7, 9)).shape == (2, 5, 4, 5)
    assert FactorizedReduce(4, 4)(torch.randn(2, 4, 1, 1)).shape == (2, 4, 1, 1)


def test_published_names_carry_the_size() -> None:
    assert space_of("ista_onestage", None) == Plugin("darts", {"width": 36, "cells": 20, "closing_norms": "none"})
    assert PUBLISHED["ista_imagenet"].space in SPACES


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"cells": 2}, "--space.cells: expected >= 3, got 2"), ({"closing_norms": "x"}, "expected none")],
)
def test_wrong_flags(flags: dict[str, object], expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        Plugin("darts", flags).build("space")


def test_costs_of_candidates_alone_are_those_from_traces_of_all_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, slow = CostTable(small(), SHAPE), CostTable(small(), SHAPE)
    assert all(additive(quick))
    monkeypatch.setattr(select, "LOOKUPS", (neighbour_differences,))
    assert all(additive(slow))
    archs = [drawn(small(), seed) for seed in range(50)]
    for cost, values in quick(archs).items():
        np.testing.assert_array_equal(values, slow(archs)[cost])
    assert len(quick._space.traced) <= 26


def test_single_path_methods_search_the_space(tmp_path: Path) -> None:
    flags = ["--space=darts", "--space.width=2", "--space.cells=3", "--method=spos", "--accelerator=cpu", "--threads=1"]
    flags += ["--method.population=4", "--method.parents=2", "--method.mutants=2", "--method.crossovers=2"]
    flags += ["--method.generations=1", "--search.epochs=1", "--search.batch=256", "--score.val=64"]
    assert main(["search", *flags, "--budget=params<=5k", "--out", str(tmp_path / "run")]) == 0
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["costs"]["params"] <= 5000
    assert len(Genotype.of(best["arch"]).normal) == 8
