"""The derived network is the supernet's path, and nothing else."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nets import BOUNDS, SHAPE, op, random_dag, random_net, seeds, signature, unsettle, weighted
from sparsenas.core.arch import Arch, every_arch, space_size
from sparsenas.core.canonical import Canonicalizer, canonicalize
from sparsenas.core.choice import Choice
from sparsenas.core.dag import Dag
from sparsenas.core.derive import Derivable, derive
from sparsenas.core.elastic import SliceConv2d, Width
from sparsenas.core.gate import Gate, Gated, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.errors import UserError
from sparsenas.nn.blocks import Scale, conv_bn
from sparsenas.nn.bn_folding import Scaled


def images(seed: int) -> Tensor:
    return torch.randn(2, *SHAPE, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=150)
@given(seeds)
def test_the_derived_network_is_the_path_of_the_supernet(seed: int) -> None:
    net, rng = random_net(seed), np.random.default_rng(seed)
    arch = Arch.sample(choices(net), rng)
    x = images(seed)
    set_gates(net, arch.gates())
    assert torch.equal(derive(net, arch.gates())(x), net(x))


@settings(max_examples=150)
@given(seeds)
def test_weights_are_folded_in(seed: int) -> None:
    net, rng = random_net(seed), np.random.default_rng(seed)
    gates = weighted(Arch.sample(choices(net), rng), rng)
    x = images(seed)
    plain = derive(net, gates)
    set_gates(net, gates)
    torch.testing.assert_close(plain(x), net(x))


@given(seeds)
def test_no_choice_and_no_placeholder_is_left(seed: int) -> None:
    net, rng = random_net(seed), np.random.default_rng(seed)
    plain = derive(net, weighted(Arch.sample(choices(net), rng), rng))
    assert not [m for m in plain.modules() if isinstance(m, Gated | Derivable | Scaled)]
    assert all(m.affine for m in plain.modules() if isinstance(m, _BatchNorm))


@given(seeds)
def test_the_supernet_is_left_as_it_was(seed: int) -> None:
    net, rng = random_net(seed), np.random.default_rng(seed)
    arch = Arch.sample(choices(net), rng)
    before, modules = copy.deepcopy(net.state_dict()), dict(net.named_modules())
    plain = derive(net, weighted(arch, rng))
    with torch.no_grad():
        for tensor in (*plain.parameters(), *plain.buffers()):
            tensor.zero_()
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(net.state_dict()[key], before[key]) for key in before)
    assert dict(net.named_modules()) == modules


@given(seeds)
def test_shared_weights_are_the_supernets_own(seed: int) -> None:
    net = random_net(seed)
    gates = Arch.sample(choices(net), np.random.default_rng(seed)).gates()
    shared, copied = derive(net, gates, share_weights=True), derive(net, gates)
    own = {id(parameter) for parameter in net.parameters()}
    assert not own & {id(parameter) for parameter in copied.parameters()}
    whole = [m for m in shared.modules() if isinstance(m, nn.Conv2d) and m.in_channels == m.out_channels == SHAPE[0]]
    assert all(id(m.weight) in own for m in whole if m.groups == 1 and m.kernel_size == (3, 3))
    buffers = {id(buffer) for buffer in net.buffers()}
    assert not buffers & {id(buffer) for buffer in shared.buffers()}


def test_shared_weights_learn_together() -> None:
    net = nn.Sequential(Join.of("c", {"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}))
    shared = derive(net, {"c": Gate((1,))}, share_weights=True)
    with torch.no_grad():
        next(iter(shared.parameters())).fill_(3)
    assert (net[0].ops[1].weight == 3).all()
    assert not (net[0].ops[0].weight == 3).any()


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("weight", [2.0, -0.5])
@pytest.mark.parametrize("training", [True, False])
def test_a_weight_goes_into_the_closing_batch_norm(affine: bool, weight: float, training: bool) -> None:
    ops = {label: nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=affine)) for label in "ab"}
    net = Join.of("c", ops, most=2).train(training)
    unsettle(net)
    gates = {"c": Gate((0, 1), torch.tensor([weight, 1.5]))}
    plain = derive(net, gates)
    set_gates(net, gates)
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(plain(x), net(x))
    assert not [module for module in plain.modules() if isinstance(module, Scale)]


def test_a_weight_goes_through_nested_joins_and_widths() -> None:
    width = Width("w", (2, 4))
    body = nn.Sequential(SliceConv2d(3, width, 1), SliceConv2d(width, 3, 1))
    inner = Join.of("inner", {"a": nn.Identity(), "b": body})
    net = Join.of("outer", {"x": nn.Identity(), "y": nn.Sequential(nn.ReLU(), inner)})
    gates = {"outer": Gate((1,), torch.tensor([-2.0])), "inner": Gate((1,)), "w": Gate((0,))}
    plain = derive(net, gates)
    set_gates(net, gates)
    x = torch.randn(1, 3, 2, 2)
    torch.testing.assert_close(plain(x), net(x))
    kinds = [type(module).__name__ for module in plain.modules()]
    assert kinds == ["Sequential", "ReLU", "Sequential", "Conv2d", "Conv2d"]


def test_a_weight_does_not_disturb_other_users_of_a_layer() -> None:
    conv = nn.Conv2d(1, 1, 1, bias=False)
    net = nn.Sequential(conv, Join.of("c", {"a": conv, "b": nn.Identity()}))
    gates = {"c": Gate((0,), torch.tensor([3.0]))}
    x = torch.ones(1, 1, 1, 1)
    torch.testing.assert_close(derive(net, gates)(x), 3 * conv(conv(x)))


def test_a_join_of_several_inputs_still_takes_them_all() -> None:
    join = Join(Choice("c", ("left", "right")), [nn.Identity(), nn.Identity()], [0, 1])
    left, right = torch.tensor(1.0), torch.tensor(2.0)
    assert derive(join, {"c": Gate((0,))})(left, right) == 1
    assert derive(join, {"c": Gate((1,))})(left, right) == 2


def test_a_module_used_under_two_names_stays_one() -> None:
    relu, norm = nn.ReLU(), nn.BatchNorm2d(2, affine=False)
    net = nn.Sequential(relu, norm, Join.of("c", {"a": nn.Identity()}), relu, norm).eval()
    plain = derive(net, {"c": Gate((0,))})
    assert isinstance(plain, nn.Sequential)
    assert plain[0] is plain[3]
    assert plain[1] is plain[4]
    set_gates(net, {"c": Gate((0,))})
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(plain(x), net(x))


def test_batch_norms_without_statistics_are_kept_so() -> None:
    norm = nn.BatchNorm2d(2, affine=False, track_running_stats=False)
    plain = derive(norm, {})
    assert isinstance(plain, nn.BatchNorm2d)
    assert plain.running_mean is None
    x = torch.randn(4, 2, 3, 3)
    assert torch.equal(plain(x), norm(x))


def test_a_users_module_without_derived_is_named() -> None:
    class Mine(Gated):
        pass

    with pytest.raises(UserError, match=r"Mine has a choice but no derived\(\); make it a Derivable"):
        derive(nn.Sequential(Mine(Choice("c", ("a", "b")))), {"c": Gate((0,))})


def test_derived_networks_can_be_exported() -> None:
    torch.manual_seed(0)
    net = random_net(7)
    plain = derive(net, Arch.sample(choices(net), np.random.default_rng(7)).gates())
    x = images(7)
    exported = torch.export.export(plain, (x,)).module()
    torch.testing.assert_close(exported(x), plain(x))


@given(seeds)
def test_tidying_keeps_the_network(seed: int) -> None:
    net, rng = random_net(seed), np.random.default_rng(seed)
    arch = Arch.sample(choices(net), rng)
    tidied = canonicalize(net, arch)
    assert canonicalize(net, tidied) == tidied
    x = images(seed)
    assert torch.equal(derive(net, tidied.gates())(x), derive(net, arch.gates())(x))


@settings(max_examples=100)
@given(seeds)
def test_many_are_tidied_as_one(seed: int) -> None:
    net, rng = random_net(seed), np.random.default_rng(seed)
    canonicalizer = Canonicalizer(net)
    assert not any(isinstance(module, nn.Conv2d | _BatchNorm) for module in canonicalizer.net.modules())
    for arch in [Arch.sample(choices(net), rng) for _ in range(3)]:
        assert canonicalizer.canonicalize(arch) == canonicalize(net, arch)


def test_tidying_leaves_the_network_answering_what_was_asked() -> None:
    net = Join.of("outer", {"a": nn.Identity(), "b": Join.of("inner", {"c": nn.Identity(), "d": nn.Identity()})})
    arch = Arch(choices(net), {"outer": (0,), "inner": (1,)})
    assert canonicalize(net, arch) == arch.replace({"inner": (0,)})
    assert net.ops[1].gate.picks == (1,)
    assert canonicalize(net, arch.replace({"outer": (1,)})) == arch.replace({"outer": (1,)})


@pytest.mark.parametrize("bounds", BOUNDS)
@given(seed=seeds)
def test_equal_networks_have_equal_tidied_architectures(bounds: str, seed: int) -> None:
    dag = random_dag(seed, bounds, nodes=3)
    space = choices(dag)
    if space_size(space) > 200:
        rng = np.random.default_rng(seed)
        archs = [Arch.sample(space, rng) for _ in range(50)]
    else:
        archs = list(every_arch(space))
    tidied_of: dict[object, set[Arch]] = {}
    for arch in archs:
        tidied = canonicalize(dag, arch)
        assert signature(dag, tidied) == signature(dag, arch)
        assert canonicalize(dag, tidied) == tidied
        tidied_of.setdefault(signature(dag, arch), set()).add(tidied)
    if bounds != "mixed":
        assert all(len(tidied) == 1 for tidied in tidied_of.values())
    every = [tidied for group in tidied_of.values() for tidied in group]
    assert len(set(every)) == len(every)


def test_tidying_keeps_a_dead_node_dead() -> None:
    # Node b is fed by nobody, and the output has to keep it: b's answer may not be reset to the input.
    a = Join(Choice("a", ("in",), 0, 1), [nn.Identity()], [0])
    b = Join(Choice("b", ("in", "a")), [nn.Identity(), nn.Identity()], [0, 1])
    out = Join(Choice("out", ("in", "b"), 2, 2), [nn.Identity(), nn.Identity()], [0, 2])
    dag = Dag(1, [a, b], out)
    arch = Arch(choices(dag), {"a": (), "b": (1,), "out": (0, 1)})
    assert canonicalize(dag, arch) == arch


def test_layers_of_operations_that_were_not_picked_are_gone() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(Join.of("c", {"small": conv_bn(3, 3, 1), "large": conv_bn(3, 3, 5)}))
    count = sum(p.numel() for p in derive(net, {"c": Gate((0,))}).parameters())
    assert count == 3 * 3 + 2 * 3


def test_random_operations_cover_the_kinds_of_last_layers() -> None:
    rng = np.random.default_rng(0)
    assert len({type(m[-1] if isinstance(m, nn.Sequential) else m) for m in (op(rng) for _ in range(50))}) >= 5
