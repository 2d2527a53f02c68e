"""Attention, opened: heads are cut with their biases, and with the channels that the code takes for theirs."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import sparsenas
from opening_nets import IMAGE, Dividing, FourHeads, Transformer, Windows, Words
from sparsenas import Arch, CostTable, choices, derive, set_gates
from sparsenas.costs.layer import COSTS
from sparsenas.exporting import onnx_model
from sparsenas.opening.opened import OpenedNetwork


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(IMAGE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def space(x: Tensor) -> OpenedNetwork:
    torch.manual_seed(0)
    return sparsenas.open(Windows().eval(), x).eval()


def archs(space: OpenedNetwork) -> list[Arch]:
    """The smallest and the largest one, the smallest with its blocks, and a random one."""
    found, small = choices(space), Arch(choices(space), space.smallest())
    with_blocks = small.replace({name: (0,) for name in found if name.endswith(".depth")})
    return [small, Arch(found, space.largest()), with_blocks, Arch.sample(found, np.random.default_rng(1))]


def test_heads_are_cut_with_their_columns_of_the_table(space: OpenedNetwork, x: Tensor) -> None:
    assert choices(space)["blocks.0.attention.query"].options == ("8", "16", "24", "32")
    whole, small = space.net.blocks[0].attention, derive(space, archs(space)[2].gates()).blocks[0].attention
    assert (small.heads, small.size, small.query.out_features) == (1, 8, 8)
    head = (whole.table == small.table).all(0).nonzero().item()
    torch.testing.assert_close(small.value.bias, whole.value.bias.view(4, 8)[head])


def test_blocks_whose_sum_is_reshaped_may_be_skipped(space: OpenedNetwork, x: Tensor) -> None:
    plain = derive(space, archs(space)[1].replace({"blocks.1.depth": (1,)}).gates())
    assert type(plain.blocks[1]) is nn.Identity
    whole = space.net
    expected = whole.head(whole.blocks[0](whole.patches(x).permute(0, 2, 3, 1)).mean((1, 2)))
    torch.testing.assert_close(plain(x), expected)


def test_costs_are_those_that_pytorch_counts(space: OpenedNetwork, x: Tensor) -> None:
    table = CostTable(space, x.shape[1:], {"flops": COSTS["flops"]})
    for arch in archs(space):
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            derive(space, arch.gates()).eval()(x[:1])
        assert table.exact(arch)["flops"] == counter.get_total_flops() // 2


def test_onnx_files_of_any_batch_size_agree(space: OpenedNetwork, x: Tensor) -> None:
    net = derive(space, archs(space)[2].gates()).eval()
    session = onnxruntime.InferenceSession(onnx_model(net, x, any_batch=True), providers=["CPUExecutionProvider"])
    three = torch.cat([x, x[:1]])
    found = session.run(None, {session.get_inputs()[0].name: three.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), net(three), rtol=1e-4, atol=1e-5)


def test_heads_are_cut_with_the_channels_that_the_code_divides_among_them(x: Tensor) -> None:
    torch.manual_seed(0)
    space = sparsenas.open(Transformer(attention=Dividing).eval(), x).eval()
    assert {name: choice.options for name, choice in choices(space).items()} == {
        "patches": ("8", "16", "24", "32"),
        "mlp.0": ("16", "24", "32", "40", "48", "56", "64"),
    }
    assert not space.coverage.closed
    for arch in archs(space):
        plain = derive(space, arch.gates()).eval()
        assert plain.patches.out_channels == 8 * plain.attention.heads
        set_gates(space, arch.gates())
        torch.testing.assert_close(space(x), plain(x), rtol=1e-5, atol=1e-5)


def test_heads_in_the_code_close_nothing_else(x: Tensor) -> None:
    space = sparsenas.open(Transformer(attention=FourHeads).eval(), x)
    assert len(choices(space)["patches"].options) == 7
    assert "attention.qkv" in space.coverage.closed


def test_heads_of_pytorchs_own_attention_get_narrower() -> None:
    space = sparsenas.open(Words().eval(), torch.zeros(2, 5, dtype=torch.long))
    attention = derive(space, archs(space)[0].gates()).attention
    assert (attention.embed_dim, attention.num_heads, attention.head_dim) == (4, 2, 2)
    assert attention.in_proj_weight.shape == (12, 4)
    assert not space.coverage.closed
