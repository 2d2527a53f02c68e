"""How networks of DSO-NAS are trained: drop path, auxiliary head, dropout."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nets import seeds
from sparsenas.core.arch import Arch
from sparsenas.core.dag import Wiring
from sparsenas.core.derive import derive
from sparsenas.core.gate import Gate, choices, set_gates
from sparsenas.errors import UserError
from sparsenas.exporting import onnx_model
from sparsenas.nn.auxiliary_head import Deep, WithAuxiliary
from sparsenas.nn.blocks import DeepSequential, DropPath, Sum, set_drop_path
from sparsenas.spaces import dso, dso_imagenet
from sparsenas.spaces.dso import drop_shares
from sparsenas.testing import shaken

SHAPE = (1, 8, 8)


def found(seed: int, edges: float = 0.5, dropout: float = 0.0) -> DeepSequential:
    """A random network of the space, derived."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    net = shaken(dso(width=4, depth=1, shape=SHAPE, dropout=dropout))
    open_choices = choices(net)
    kept = {n: tuple(np.flatnonzero(rng.random(len(c.options)) < edges).tolist()) for n, c in open_choices.items()}
    plain = derive(
        net,
        Arch(open_choices, {n: picks or ((0,) if open_choices[n].least else ()) for n, picks in kept.items()}).gates(),
    )
    assert isinstance(plain, DeepSequential)
    return plain


def test_shares_of_the_published_network() -> None:
    shares = drop_shares((8, 8, 8))
    assert shares == [(start + 4 * block + 1) / 112 for start in (0, 36, 73) for block in range(8)]
    assert (shares[0], shares[-1]) == (1 / 112, 102 / 112)


@given(st.lists(st.integers(1, 14), min_size=1, max_size=4))
def test_shares_grow_with_depth(depths: list[int]) -> None:
    shares = drop_shares(depths)
    assert len(shares) == sum(depths)
    assert all(0 < a < b < 1 for a, b in zip(shares, [*shares[1:], 1 - 1e-9], strict=True))
    assert shares[0] == pytest.approx(1 / (110 / 24 * sum(depths) + 2))


@given(seeds)
@settings(max_examples=8)
def test_only_bare_lone_inputs_are_never_dropped(seed: int) -> None:
    """And the two ways through a block, and reductions; every block has its own share."""
    dropping = iter(drop_shares((1, 1, 1)))
    for part in found(seed, 0.15):
        if not isinstance(part, Wiring):
            assert all(s.drop.share == 0 for s in part.modules() if isinstance(s, Sum))
            continue
        share = next(dropping)
        for node in part.joins:
            assert isinstance(node, Sum)
            bare = all(type(op) is nn.Identity for op in node.ops)
            assert node.drop.share == (0 if bare and len(node.ops) == 1 else share)
        assert part.output.drop.share == 0
    assert next(dropping, None) is None


@given(seeds)
@settings(max_examples=8)
def test_drop_path_is_for_training_only(seed: int) -> None:
    net, x = found(seed).eval(), torch.randn(4, *SHAPE)
    expected = net(x)
    set_drop_path(net, 0.5)
    assert torch.equal(net(x), expected)
    rates = {module.rate for module in net.modules() if isinstance(module, DropPath)}
    assert rates <= {0.0, *(0.5 * share for share in drop_shares((1, 1, 1)))}
    assert max(rates) > 0
    before = net.train()(x)
    assert not torch.allclose(before, net(x))
    set_drop_path(net, 0.0)
    assert torch.equal(net.train()(x), net(x))


def test_terms_are_dropped_apart_and_their_mean_is_kept() -> None:
    node = Sum([nn.Identity(), nn.Identity()], [0, 1], drop=0.5)
    set_drop_path(node, 0.4)
    x = torch.ones(8000, 1, 1, 1)
    y = node(x, 10 * x)
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1.25, 12.5, 13.75]))
    assert float(y.mean()) == pytest.approx(11, rel=0.02)
    assert torch.equal(node.eval()(x, 10 * x), 11 * x)


def test_nothing_is_dropped_while_searching() -> None:
    net = dso(width=4, depth=1, shape=SHAPE).train()
    set_gates(net, {name: Gate(tuple(range(len(choice.options)))) for name, choice in choices(net).items()})
    set_drop_path(net, 0.9)
    x = torch.randn(4, *SHAPE)
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize(("space", "reduced"), [(dso, 2), (dso_imagenet, 3)])
def test_features_are_those_behind_the_last_reduction(space: type, reduced: int) -> None:
    deep = {"depth": 2} if space is dso else {"depths": (1, 2, 1, 2)}
    net = space(width=4, shape=(3, 64, 64), classes=5, **deep)
    plain = derive(net, Arch.sample(choices(net), np.random.default_rng(0)).gates()).eval()
    assert isinstance(plain, Deep)
    x = torch.randn(2, 3, 64, 64)
    logits, features = plain.with_features(x)
    assert torch.equal(logits, plain(x))
    assert features.shape[1] == plain.auxiliary.channels == 4 * 2**reduced
    assert torch.equal(nn.Sequential(*list(plain)[plain.deep + 1 :])(features), logits)
    whole = WithAuxiliary(plain).train()
    assert isinstance(whole.auxiliary[0], nn.BatchNorm2d)  # a batch norm of the features comes first
    norms = [layer for layer in whole.auxiliary if isinstance(layer, nn.BatchNorm2d)]
    assert [(norm.num_features, norm.eps) for norm in norms] == [(features.shape[1], 2e-5), (128, 2e-5), (768, 2e-5)]
    outputs = whole(x)
    assert [output.shape for output in outputs] == [(2, 5), (2, 5)]


def test_dropout_is_in_front_of_the_classifier() -> None:
    net = found(0, dropout=0.4)
    assert [type(layer) for layer in net[-1]][-3:] == [nn.Flatten, nn.Dropout, nn.Linear]
    assert net[-1][-2].p == 0.4
    with pytest.raises(UserError, match="dropout: expected at least 0 and below 1, got 1"):
        dso(width=4, depth=1, shape=SHAPE, dropout=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_trained_network_is_exported(seed: int) -> None:
    """After training with drop path: the same outputs by torch.export, and no trace of dropping."""
    net, x = found(seed, dropout=0.4), torch.randn(2, *SHAPE)
    set_drop_path(net, 0.5)
    net.train()(x)
    expected = net.eval()(x)
    program = torch.export.export(net, (x,))
    torch.testing.assert_close(program.module()(x), expected)
    assert not any("bernoulli" in str(node.target) or "rand" in str(node.target) for node in program.graph.nodes)


def test_onnx_computes_the_same() -> None:
    net, x = found(1, dropout=0.4).eval(), torch.randn(2, *SHAPE)
    set_drop_path(net, 0.5)
    session = onnxruntime.InferenceSession(onnx_model(net, x), providers=["CPUExecutionProvider"])
    logits = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.as_tensor(logits), net(x), rtol=1e-4, atol=1e-5)
