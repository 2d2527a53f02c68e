"""Checks of spaces and methods, for the tests of their authors.

Call them from a test of your own package::

    from sparsenas.testing import check_space
    def test_my_space():
        check_space(my_space, shape=(3, 32, 32))
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sparsenas.core.arch import Arch
from sparsenas.core.canonical import canonicalize
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs import CostTable, Limits, Shape, total, trace
from sparsenas.costs.layer import params
from sparsenas.methods import Method


def check_space(make: Callable[[], nn.Module], shape: Shape, archs: int = 20, tolerance: float = 1e-5) -> None:
    """Checks on random architectures that a space keeps the library's promises.

    The supernet's path and the derived network have equal outputs in eval mode and equal traces. The cost ``params`` is
    the derived network's number of parameters. The cost table equals the trace. Canonical architectures build the same
    network. JSON and compact text are read back exactly. Raises ``AssertionError`` naming the architecture.
    """
    torch.manual_seed(0)
    net, rng = shaken(make()).eval(), np.random.default_rng(0)
    open_choices, table = choices(net), CostTable(make(), shape)
    assert open_choices, "the space has no choice: choices(net) is empty"
    x = torch.randn(2, *shape)
    for _ in range(archs):
        arch = Arch.sample(open_choices, rng)
        plain = derive(net, arch.gates()).eval()
        assert not choices(plain), f"{arch}: the derived network still has choices"
        expected, got = _outputs(net, arch, x), plain(x)
        assert torch.allclose(expected, got, rtol=tolerance, atol=tolerance * float(expected.abs().max())), (
            f"{arch}: the derived network differs from the supernet's path by {float((expected - got).abs().max())}"
        )
        layers = trace(net, shape)
        assert layers == trace(plain, shape), f"{arch}: supernet and derived network trace differently"
        count = sum(p.numel() for p in plain.parameters())
        assert total(params, layers) == count, f"{arch}: counted {total(params, layers)} parameters, there are {count}"
        exact = {cost: float(value) for cost, value in table.exact(arch).items()}
        assert {cost: values[0] for cost, values in table([arch]).items()} == exact, f"{arch}: the cost table is wrong"
        _check_names(net, arch, expected, x, tolerance)


def _check_names(net: nn.Module, arch: Arch, expected: Tensor, x: Tensor, tolerance: float) -> None:
    assert Arch.from_json(arch.choices, arch.to_json()) == arch, f"{arch}: its JSON is another architecture"
    assert Arch.from_text(arch.choices, arch.text()) == arch, f"{arch}: its compact text is another architecture"
    canonical = canonicalize(net, arch)
    assert canonicalize(net, canonical) == canonical, f"{arch}: the canonical architecture has another canonical one"
    close = canonical == arch or torch.allclose(_outputs(net, canonical, x), expected, rtol=tolerance, atol=tolerance)
    assert close, f"{arch}: the canonical architecture {canonical} builds another network"


def check_method(make: Callable[[Limits, int], Method], limits: Limits, steps: int = 20) -> None:
    """Checks that a method's gates are legal and that its state resumes it exactly.

    ``make`` builds the method from limits and a seed. Raises ``AssertionError``.
    """
    method = make(limits, 0)
    for _ in range(steps):
        for name, gate in method.gates().items():
            limits.choices[name].check(gate.picks)
    state = copy.deepcopy(method.state_dict())
    other = make(limits, 1)
    other.load_state_dict(state)
    for step in range(steps):
        first, second = method.gates(), other.gates()
        assert {n: g.picks for n, g in first.items()} == {n: g.picks for n, g in second.items()}, (
            f"step {step} after resuming: expected the same gates as without interruption"
        )


def shaken(net: nn.Module) -> nn.Module:
    """Changes weights and batch norm statistics from their initial values, so that nothing is equal by chance."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return net


@torch.no_grad()
def _outputs(net: nn.Module, arch: Arch, x: Tensor) -> Tensor:
    set_gates(net, arch.gates())
    outputs: Tensor = net(x)
    return outputs
