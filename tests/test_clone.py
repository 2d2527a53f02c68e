"""Copies of networks are networks of their own, whatever a module holds."""

from __future__ import annotations

import copy
from types import MethodType

import pytest
import torch
from torch import nn

import odd_nets as odd
from sparsenas.core.arch import Arch
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.errors import UserError
from sparsenas.nn.bn_folding import fold_batch_norms, scale_output
from sparsenas.nn.clone import clone_sharing_parameters, deep_copy
from sparsenas.searching.segments import segments_of
from sparsenas.spaces import tiny
from sparsenas.testing import check_space, shaken

SERVED = [
    odd.usual,
    odd.norm_twice,
    odd.block_twice,
    odd.twice_inside,
    odd.hook_on_the_network,
    odd.hook_on_a_norm,
    odd.hook_on_an_option,
    odd.own_forward,
    odd.tied,
    odd.parametrized,
    odd.held_method,
    odd.kept,
    odd.more_than_a_tensor,
    odd.scripted,
    odd.volume,
    odd.Recurrent,
]


def first(net: nn.Module) -> Arch:
    return Arch(choices(net), dict.fromkeys(choices(net), (0,)))


@torch.no_grad()
@pytest.mark.parametrize("make", SERVED)
@pytest.mark.parametrize("share", [False, True])
def test_the_derived_network_does_what_the_path_does(make: type[nn.Module], share: bool) -> None:
    torch.manual_seed(0)
    net, x = shaken(make()).eval(), torch.randn(4, *odd.SHAPE)
    arch = first(net)
    plain = derive(net, arch.gates(), share_weights=share)
    set_gates(net, arch.gates())
    expected = net(x)
    assert torch.equal(plain(x), expected)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.add_(1)
    assert torch.equal(plain(x), expected)  # its statistics are its own


def test_hooks_that_a_derived_network_would_lose_are_refused() -> None:
    net = odd.hook_on_a_choice()
    with pytest.raises(UserError, match=r"^3 \(choice 'a'\): expected no forward hook"):
        derive(net, first(net).gates())


def test_what_a_network_keeps_of_a_training_step_is_detached() -> None:
    net = odd.kept()
    gates = first(net).gates()
    set_gates(net, gates)
    net(torch.randn(2, *odd.SHAPE)).sum().backward()
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(net)
    for copied in (deep_copy(net), derive(net, gates)):
        assert not copied[1].last[0].requires_grad
        assert torch.equal(copied[1].last[0], net[1].last[0])


def held(net: nn.Module) -> list[tuple[object, ...]]:
    """All that modules hold, without tensors, by the number of the module where that is what it holds."""
    numbers = {id(module): number for number, module in enumerate(net.modules())}

    def told(value: object) -> object:
        if isinstance(value, nn.Module | MethodType):
            return numbers.get(id(getattr(value, "__self__", value)))
        if isinstance(value, dict):
            return {key: told(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [told(part) for part in value]
        return value if isinstance(value, int | float | str | set) or value is None else type(value)

    return [(type(module), told(vars(module))) for module in net.modules()]


@pytest.mark.parametrize("make", [*SERVED, tiny])
def test_a_deep_copy_is_that_of_python(make: type[nn.Module]) -> None:
    net = make()
    copied, expected = deep_copy(net), copy.deepcopy(net)
    if make is not odd.scripted:
        assert held(copied) == held(expected)
    theirs = expected.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in copied.state_dict().items())
    own = {t.data_ptr() for t in (*net.parameters(), *net.buffers()) if t.numel()}
    assert own.isdisjoint(t.data_ptr() for t in (*copied.parameters(), *copied.buffers()))
    assert len(list(copied.parameters())) == len(list(expected.parameters()))  # tied ones stay tied


def test_a_deep_copy_shares_no_list_and_calls_code_for_copies() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.names = [1], {"a": [2]}

        def __deepcopy__(self, memo: object) -> nn.Module:
            return nn.Identity()

    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.names, self.inner = [1], {"a": [2]}, Own()

    net = Keeps()
    copied = deep_copy(net)
    assert isinstance(copied.inner, nn.Identity)
    assert copied.seen == net.seen
    assert copied.seen is not net.seen
    assert copied.names == net.names
    assert copied.names["a"] is not net.names["a"]


def test_a_copy_has_methods_buffers_and_sets_of_its_own() -> None:
    module, other = odd.Method(), nn.BatchNorm2d(2)
    module.norm = nn.BatchNorm2d(2)
    module.norm.running_mean = other.running_mean
    module.register_buffer("table", torch.ones(2), persistent=False)
    module.elsewhere = other.forward
    copied = clone_sharing_parameters(nn.ModuleList([module, other]))
    assert isinstance(copied[0].run, MethodType)
    assert copied[0].run.__self__ is copied[0]
    assert copied[0].elsewhere.__self__ is other
    assert copied[0].norm.running_mean is copied[1].running_mean
    assert copied[0].norm.running_mean is not other.running_mean
    assert copied[0]._non_persistent_buffers_set == {"table"}
    assert "0.table" not in copied.state_dict()
    copied[0].register_buffer("more", torch.ones(1), persistent=False)
    assert module._non_persistent_buffers_set == {"table"}


@torch.no_grad()
@pytest.mark.parametrize("which", [0, 1])
def test_layers_with_hooks_are_not_folded(which: int) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    shaken(net)[which].register_forward_hook(lambda module, args, output: output * 2 + 1)
    x = torch.randn(2, 1, 3, 3)
    expected = net(x)
    torch.testing.assert_close(scale_output(net, 3.0)(x), 3 * expected)
    torch.testing.assert_close(fold_batch_norms(copy.deepcopy(net))(x), expected)


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (odd.usual, 5),
        (odd.tied, 5),
        (odd.norm_twice, 1),
        (odd.block_twice, 1),
        (odd.hook_on_the_network, 1),
        (odd.own_forward, 1),
    ],
)
def test_segments_are_named_only_where_running_them_in_order_is_the_network(make: type[nn.Module], count: int) -> None:
    assert len(segments_of(make())) == count


@pytest.mark.parametrize("make", [odd.usual, odd.norm_twice, odd.hook_on_a_norm, odd.held_method, odd.parametrized])
def test_a_check_of_the_space_passes_what_is_served(make: type[nn.Module]) -> None:
    check_space(make, odd.SHAPE, archs=3)


@pytest.mark.parametrize("make", [odd.hook_on_a_choice, odd.listed])
def test_a_check_of_the_space_notices_what_is_not(make: type[nn.Module]) -> None:
    with pytest.raises((AssertionError, UserError)):
        check_space(make, odd.SHAPE, archs=3)
