"""Plain networks opened: at full size the network itself, at any other a smaller one of the same class."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sparsenas
from opening_nets import NETS, ResNet, Transformer, small
from sparsenas import Arch, UserError, choices, derive, set_gates, trace
from sparsenas.core.gate import Gate
from sparsenas.costs.layer import COSTS
from sparsenas.nn.tree import call
from sparsenas.opening.choices import Block, Groups, Units
from sparsenas.opening.importance import by_weights
from sparsenas.opening.numbers import ChannelNumbers
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.opening.opening import Options
from sparsenas.opening.weights import check_weights, load_weights


def opened(name: str, **options: object) -> tuple[nn.Module, OpenedNetwork, Tensor]:
    """A network, itself opened, and an input; each is opened once."""
    return copy.deepcopy(_opened(name, tuple(options.items())))


@functools.cache
def _opened(name: str, options: tuple[tuple[str, object], ...]) -> tuple[nn.Module, OpenedNetwork, Tensor]:
    torch.manual_seed(0)
    make, example = NETS[name]
    net, x = make().eval(), example()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.weight, 0.5, 2)
    return net, sparsenas.open(net, x, **dict(options)).eval(), x  # type: ignore[arg-type]


def largest(space: OpenedNetwork) -> Arch:
    return Arch(choices(space), space.largest())


def smallest(space: OpenedNetwork) -> Arch:
    return Arch(choices(space), space.smallest())


def sample(space: OpenedNetwork, count: int) -> list[Arch]:
    rng, found = np.random.default_rng(0), choices(space)
    return [smallest(space), *(Arch.sample(found, rng) for _ in range(count))]


@pytest.mark.parametrize("name", NETS)
def test_full_size_is_the_network_itself(name: str) -> None:
    net, space, x = opened(name)
    set_gates(space, largest(space).gates())
    torch.testing.assert_close(space(x), net(x), rtol=0, atol=0)
    torch.testing.assert_close(derive(space, largest(space).gates())(x), net(x), rtol=0, atol=0)


@pytest.mark.parametrize(("name", "groups"), [*((n, False) for n in NETS), *((n, True) for n in NETS if n != "series")])
def test_supernet_is_its_derived_networks(name: str, groups: bool) -> None:
    _, space, x = opened(name, groups=groups)
    for arch in sample(space, 20):
        plain = derive(space, arch.gates()).eval()
        assert type(plain) is type(space.net)
        set_gates(space, arch.gates())
        torch.testing.assert_close(space(x), plain(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_smaller_networks_need_less(name: str) -> None:
    _, space, x = opened(name)
    one = x[:1]
    costs = []
    for arch in (smallest(space), largest(space)):
        layers = trace(derive(space, arch.gates()), one)
        costs.append({cost: sum(COSTS[cost](layer) for layer in layers) for cost in ("flops", "params")})
        assert costs[-1]["params"] == sum(p.numel() for p in derive(space, arch.gates()).parameters())
    assert costs[0]["flops"] < 0.7 * costs[1]["flops"]
    assert costs[0]["params"] < 0.8 * costs[1]["params"]


@pytest.mark.parametrize("name", NETS)
def test_statistics_and_gradients_are_those_of_the_derived_network(name: str) -> None:
    _, space, x = opened(name)
    arch = sample(space, 1)[1]
    plain = derive(space, arch.gates()).train()
    set_gates(space, arch.gates())
    space.train()
    torch.manual_seed(1)
    space(x).square().sum().backward()
    torch.manual_seed(1)
    plain(x).square().sum().backward()
    total = sum(p.grad.square().sum().item() for p in space.parameters() if p.grad is not None)
    expected = sum(p.grad.square().sum().item() for p in plain.parameters() if p.grad is not None)
    assert total == pytest.approx(expected, rel=1e-4)
    after = derive(space, arch.gates())
    for one, other in zip(after.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_right_channels_are_kept() -> None:
    """Of a chain of two layers: the derived weights are those rows and columns that matter most."""
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([1.0, 5, 2, 6, 3, 4])[:, None].expand(6, 4))
        net[2].weight.fill_(1)
    space = sparsenas.open(net, torch.randn(2, 4), shares=(0.5, 1.0), multiple=1)
    (choice,) = choices(space).values()
    assert choice.options == ("3", "6")
    plain = derive(space, {choice.name: Gate((0,))})
    assert plain[0].weight[:, 0].tolist() == [5, 6, 4]
    torch.testing.assert_close(plain[2].weight, net[2].weight[:, [1, 3, 5]])
    assert (plain[0].out_features, plain[2].in_features) == (3, 3)


def test_importance_is_that_of_a_slow_reference() -> None:
    _, space, _ = opened("resnet")
    tensors = dict(space.net.named_parameters())
    units = {
        i: len(d.order) for i, d in enumerate(space.decisions) if isinstance(d, Units) and "kernel" not in d.choice.name
    }
    fast = by_weights(tensors, space.cuts, units)
    for d, n in units.items():
        made, read = [], []
        for cut in space.cuts:
            if d in cut.positions.decisions() and cut.name in tensors and not cut.name.endswith("bias"):
                each = np.zeros(n)
                for position, unit in enumerate(cut.positions.unit):
                    part = tensors[cut.name].select(cut.dim, position)
                    each[unit] += part.double().square().sum().item()
                if each.mean() > 0:
                    (read if cut.reads else made).append(each / each.mean())
        expected = np.mean(made, 0) * (np.mean(read, 0) if read else 1)
        np.testing.assert_allclose(fast[d], expected, rtol=1e-6)


def test_residual_blocks_may_be_skipped() -> None:
    net, space, x = opened("resnet")
    blocks = [d for d in space.decisions if isinstance(d, Block)]
    assert [block.path for block in blocks] == ["blocks.0", "blocks.2"]
    arch = largest(space).replace({"blocks.0.depth": (1,)})
    plain = derive(space, arch.gates())
    without = copy.deepcopy(net)
    without.blocks[0] = nn.Identity()  # type: ignore[index]
    torch.testing.assert_close(plain(x), without(x))
    set_gates(space, arch.gates())
    torch.testing.assert_close(space(x), without(x))
    assert "blocks.0.first.0" not in dict(space.active_choices())


def test_blocks_called_by_keyword_may_be_skipped() -> None:
    net, space, x = opened("called")
    assert [d.path for d in space.decisions if isinstance(d, Block)] == ["blocks.0", "blocks.1", "blocks.2"]
    skipped = {"blocks.0.depth": (1,), "blocks.1.depth": (1,), "blocks.2.depth": (1,)}
    plain = derive(space, largest(space).replace(skipped).gates())
    expected = net.head(F.relu(net.stem(x)).mean((2, 3)))  # type: ignore[operator]
    torch.testing.assert_close(plain(x), expected)
    assert type(plain.blocks[2]) is nn.Identity  # type: ignore[index]
    program = torch.export.export(plain, (x,))
    torch.testing.assert_close(program.module()(x), expected)


class Masked(nn.Module):
    """Residual blocks with a second input."""

    def __init__(self, order: tuple[str, ...] = ("x", "mask")) -> None:
        super().__init__()
        self.order, self.stem, self.head = order, nn.Linear(8, 16), nn.Linear(16, 4)
        self.blocks = nn.ModuleList(MaskedBlock(order) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(*({"x": x, "mask": mask}[name] for name in self.order))
        return self.head(x)


class MaskedBlock(nn.Module):
    """Adds what is not masked."""

    def __init__(self, order: tuple[str, ...]) -> None:
        super().__init__()
        self.order, self.inner, self.outer = order, nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, *args: Tensor) -> Tensor:
        given = dict(zip(self.order, args, strict=True))
        given["x"].to(torch.float32)  # the same tensor: in the graph all that follows reads the statement's result
        return given["x"] + self.outer(F.relu(self.inner(given["x"]))) * given["mask"]


def test_blocks_with_a_mask_may_be_skipped() -> None:
    net, given = Masked().eval(), {"x": torch.randn(3, 5, 8), "mask": torch.ones(3, 5, 1)}
    space = sparsenas.open(net, given).eval()
    assert [d.path for d in space.decisions if isinstance(d, Block)] == ["blocks.0", "blocks.1"]
    arch = largest(space).replace({"blocks.0.depth": (1,)})
    expected = net.head(net.blocks[1](net.stem(given["x"]), given["mask"]))
    torch.testing.assert_close(derive(space, arch.gates())(**given), expected)
    set_gates(space, arch.gates())
    torch.testing.assert_close(space(**given), expected)


@pytest.mark.parametrize(("order", "size"), [(("mask", "x"), 1), (("x", "mask"), 16)])
def test_blocks_whose_input_is_not_certain_stay(order: tuple[str, ...], size: int) -> None:
    """The mask comes first, or has the shape of the input."""
    space = sparsenas.open(Masked(order), {"x": torch.randn(3, 5, 8), "mask": torch.ones(3, 5, size)})
    assert not any(isinstance(d, Block) for d in space.decisions)


class Upscaling(nn.Module):
    """Super-resolution: pixel shuffles, also in a residual block, and the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 24, 3, padding=1)
        self.inner, self.outer = nn.Conv2d(6, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)
        self.down, self.last = nn.Conv2d(24, 12, 1), nn.Conv2d(12, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.pixel_shuffle(self.up(self.stem(x)), 2))
        x = x + self.outer(F.relu(self.inner(x)))
        return F.pixel_shuffle(self.last(F.relu(self.down(F.pixel_unshuffle(x, 2)))), 2)


def test_pixel_shuffles_cut_the_channels_of_a_channel_together() -> None:
    torch.manual_seed(0)
    net, x = Upscaling().eval(), torch.randn(2, 1, 8, 8)
    space = sparsenas.open(net, x, multiple=1, shares=(0.5, 1.0)).eval()
    assert {"stem", "up", "inner", "down"} <= choices(space).keys()
    for arch in sample(space, 6):
        small = derive(space, arch.gates())
        set_gates(space, arch.gates())
        torch.testing.assert_close(space(x), small(x))
    small = derive(space, smallest(space).gates())
    assert [small.up.out_channels, small.down.in_channels, small.inner.in_channels] == [12, 12, 3]


def test_recurrent_layers_have_one_number_of_hidden_channels() -> None:
    _, space, _ = opened("recurrent")
    assert {"conv", "lstm", "gru", "hidden"} == choices(space).keys()
    assert choices(space)["lstm"].options[-1] == "4"
    small = derive(space, smallest(space).gates())
    assert isinstance(small.next, nn.LSTM)
    assert (small.lstm.hidden_size, small.next.hidden_size, small.next.input_size) == (1, 1, 2)
    assert small.lstm.weight_hh_l1_reverse.shape == (4, 1)


class Stepwise(nn.Module):
    """Cells that the code calls step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.lstm, self.gru = nn.Linear(3, 8), nn.LSTMCell(8, 6), nn.GRUCell(6, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        states, last = None, None
        for step in F.relu(self.inner(x)).unbind(1):
            states = self.lstm(step, states)
            last = self.gru(states[0], last)
        return self.head(last)


def test_recurrent_cells_are_cut() -> None:
    torch.manual_seed(0)
    net, x = Stepwise().eval(), torch.randn(2, 5, 3)
    space = sparsenas.open(net, x, multiple=1, shares=(0.5, 1.0)).eval()
    assert list(choices(space)) == ["inner", "lstm", "gru"]
    assert space.coverage.whole == 5 * (3 * 8 + 4 * 6 * (8 + 6) + 3 * 4 * (6 + 4)) + 4 * 2
    for arch in sample(space, 4):
        small = derive(space, arch.gates())
        set_gates(space, arch.gates())
        torch.testing.assert_close(space(x), small(x))
        assert sum(map(COSTS["flops"], trace(space, x[:1]))) <= space.coverage.whole


class Messages(nn.Module):
    """A network of a graph, whose nodes add up what they get along the edges; then gates."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(3, 8), nn.Linear(8, 12), nn.Linear(6, 2)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = self.first(x)
        x = torch.zeros_like(x).index_add(0, edges[1], x[edges[0]]) + x
        return self.last(F.glu(self.second(F.relu(x)), -1))


def test_messages_of_a_graph_and_gates_are_followed() -> None:
    torch.manual_seed(0)
    net, x, edges = Messages().eval(), torch.randn(5, 3), torch.randint(5, (2, 9))
    space = sparsenas.open(net, (x, edges), multiple=1, shares=(0.5, 1.0)).eval()
    assert list(choices(space)) == ["first", "second"]
    for arch in sample(space, 4):
        small = derive(space, arch.gates())
        set_gates(space, arch.gates())
        torch.testing.assert_close(space(x, edges), small(x, edges))
    small = derive(space, smallest(space).gates())
    assert [small.first.out_features, small.second.out_features, small.last.in_features] == [4, 6, 3]


class Packing(nn.Module):
    """Packs its sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.gru, self.head = nn.Embedding(9, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(self.table(ids), lengths.cpu(), True, False)
        return self.head(self.gru(packed)[1][0])


def test_packed_sequences_are_told() -> None:
    with pytest.raises(UserError, match="open Packing: torch.export cannot read it: it packs sequences for an LSTM"):
        sparsenas.open(Packing(), (torch.randint(9, (3, 5)), torch.tensor([5, 3, 4])))


@pytest.mark.parametrize("normed", [torch.nn.utils.parametrizations.weight_norm, torch.nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_attributes_follow_where_weights_are_computed(normed: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv1d(3, 8, 3), nn.Conv1d(8, 8, 3, groups=8), nn.Conv1d(8, 16, 1), nn.Conv1d(16, 2, 1)]
    net, x = nn.Sequential(*map(normed, layers)).eval(), torch.randn(2, 3, 16)
    space = sparsenas.open(net, x, shares=(0.5, 1.0)).eval()
    assert list(choices(space)) == ["0", "2"]
    small = derive(space, smallest(space).gates())
    set_gates(space, smallest(space).gates())
    torch.testing.assert_close(space(x), small(x))
    convs = [layer for layer in small.modules() if isinstance(layer, nn.Conv1d)]
    assert [(conv.in_channels, conv.out_channels, conv.groups) for conv in convs] == [
        *((3, 4, 1), (4, 4, 4), (4, 8, 1), (8, 2, 1))
    ]


class Decoder(nn.Module):
    """A linear layer gives the channels of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 8 * 4 * 4), nn.ConvTranspose2d(8, 6, 4, 2, 1)
        self.image = nn.Unflatten(1, (8, 4, 4))
        self.last = nn.Conv2d(6, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(F.relu(self.second(self.image(F.relu(self.first(x))))))
        return y


def test_channels_of_a_linear_layer_that_become_an_image_are_cut() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5)
    space = sparsenas.open(Decoder(), x, shares=(0.5, 1.0)).eval()
    assert list(choices(space)) == ["first", "second"]
    small = derive(space, smallest(space).gates())
    set_gates(space, smallest(space).gates())
    torch.testing.assert_close(space(x), small(x))
    assert [small.first.out_features, small.second.in_channels] == [4 * 16, 4]


def test_examples_that_are_unflattened_are_no_channels() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Unflatten(0, (2, 3)), nn.Linear(8, 2))
    space = sparsenas.open(net, torch.randn(6, 3))
    assert list(choices(space)) == ["0"]


class OneDictionary(nn.Module):
    """Its one argument is a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.last(F.relu(self.first(batch["x"]))) * batch["scale"]


def test_a_network_of_one_dictionary_is_called_as_it_takes_it() -> None:
    net, batch = OneDictionary().eval(), {"x": torch.randn(3, 8), "scale": torch.ones(3, 1)}
    for example in (batch, (batch,)):
        space = sparsenas.open(net, example).eval()
        set_gates(space, largest(space).gates())
        torch.testing.assert_close(call(space, batch), net(batch))
        torch.testing.assert_close(call(space, (batch,)), net(batch))


def test_coverage_is_that_of_one_example() -> None:
    one, many = (sparsenas.open(OneDictionary(), {"x": torch.randn(n, 8), "scale": torch.ones(n, 1)}) for n in (1, 6))
    assert one.coverage == many.coverage
    assert many.coverage.whole == 8 * 16 + 16 * 4


class Giving(nn.Module):
    """A residual block that gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (x + self.outer(F.relu(self.inner(x))),)


class Taking(nn.Module):
    """Takes the first part of what its block gives: of a tensor in its place it would take the first example."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Linear(8, 8), Giving()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.block(self.stem(x))[0]
        return y.tanh()


def test_blocks_that_give_tuples_stay() -> None:
    space = sparsenas.open(Taking(), torch.randn(3, 8))
    assert list(choices(space)) == ["block.inner"]
    assert space.coverage.closed["block.depth"] == "the block does not return a tensor"


def test_kernels_are_cut_to_their_middle() -> None:
    net, space, x = opened("resnet")
    arch = largest(space).replace({"stem.0.kernel": (0,)})
    plain = derive(space, arch.gates())
    masked = copy.deepcopy(net)
    with torch.no_grad():
        weight = masked.stem[0].weight  # type: ignore[index]
        weight[:, :, [0, -1]] = 0
        weight[:, :, :, [0, -1]] = 0
    assert plain.stem[0].kernel_size == (3, 3)  # type: ignore[index]
    torch.testing.assert_close(plain(x), masked(x))


def test_heads_are_cut_whole() -> None:
    _, space, x = opened("transformer")
    assert "attention.qkv" in choices(space)
    plain = derive(space, smallest(space).gates())
    assert (plain.attention.heads, plain.attention.size) == (1, 8)  # type: ignore[union-attr]
    assert plain(x).shape == (2, 10)


def test_weights_of_units_scale_what_they_give() -> None:
    """A unit of weight 0 is a unit that is cut."""
    _, space, x = opened("dense", groups=True)
    found = choices(space)
    arch = sample(space, 1)[1]
    gates = {}
    for name, choice in found.items():
        if isinstance(next(d for d in space.decisions if d.choice.name == name), Groups):
            every = tuple(range(len(choice.options)))
            gates[name] = Gate(every, torch.tensor([float(i in arch[name]) for i in every]))
        else:
            gates[name] = Gate(arch[name])
    set_gates(space, gates)
    torch.testing.assert_close(space(x), derive(space, arch.gates())(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(derive(space, gates)(x), derive(space, arch.gates())(x), rtol=1e-4, atol=1e-5)


def test_frozen_modules_stay_as_they_are() -> None:
    net, space, _ = opened("resnet", freeze=("blocks.2",))
    plain = derive(space, smallest(space).gates())
    for one, other in zip(plain.blocks[2].parameters(), net.blocks[2].parameters(), strict=True):  # type: ignore[index]
        assert torch.equal(one, other)
    with pytest.raises(UserError, match=r"freeze: expected the path of a module .* got 'layer9'"):
        sparsenas.open(net, torch.randn(1, 1, 8, 8), freeze=("layer9",))


@pytest.mark.parametrize(
    ("options", "message"), [({"shares": (0.5, 1.5)}, "shares: expected"), ({"multiple": -1}, "multiple: expected")]
)
def test_wrong_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Options(**options)  # type: ignore[arg-type]


def test_multiples() -> None:
    _, space, _ = opened("transformer", multiple=8, depth=False)
    labels = [int(label) for choice in choices(space).values() for label in choice.options]
    assert all(label % 8 == 0 for label in labels)


def test_what_the_code_cannot_follow_is_closed() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(4, 16), nn.Linear(16, 16), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x).view(-1, 16)  # a number that nobody can change
            return self.head(torch.relu(self.second(x)))

    space = sparsenas.open(Fixed(), torch.randn(2, 4))
    assert list(choices(space)) == ["second"]
    assert "first" in space.coverage.closed
    assert 0.5 < space.coverage.share < 1


def test_channels_that_the_code_takes_for_each_other_are_one_decision() -> None:
    _, space, _ = opened("reduced")
    assert list(choices(space)) == ["stem", "inner"]
    plain = derive(space, smallest(space).gates())
    assert plain.stem.out_channels == plain.reduce.out_channels == 4  # type: ignore[union-attr]


def test_a_network_that_cannot_be_opened(capfd: pytest.CaptureFixture[str]) -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    cannot = r"open Branch: torch.export cannot read it: .* on values of tensors.* \(test_opening.py, line \d+\)"
    with pytest.raises(UserError, match=cannot):
        sparsenas.open(Branch(), torch.randn(2, 4))
    assert not any(capfd.readouterr())

    class DecoderCache:
        pass

    class Decoder(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x), DecoderCache()

    with pytest.raises(UserError, match=r"open Decoder: .* a cache, which net.config.use_cache = False leaves out"):
        sparsenas.open(Decoder(4, 2), torch.randn(2, 4))
    with pytest.raises(UserError, match=r"the inputs alone, got parts of shape \(2, 1, 8, 8\), \(2,\); it runs on"):
        sparsenas.open(small(), [torch.zeros(2, 1, 8, 8), torch.zeros(2)])
    with pytest.raises(UserError, match=r"open Linear: does not run on the example, of shape \(2, 5\)"):
        sparsenas.open(nn.Linear(4, 2), torch.randn(2, 5))
    with pytest.raises(UserError, match=r"of shape \(1, 8, 8\): .*; the first dimension, of the examples"):
        sparsenas.open(small(), torch.zeros(1, 8, 8))
    with pytest.raises(UserError, match=r"expected a batch of inputs, as torch.zeros\(2, 1, 8, 8\), got the num"):
        sparsenas.open(small(), (1, 8, 8))
    with pytest.raises(UserError, match=r"expected a batch of inputs, a tensor or a tree of them, got NoneType"):
        sparsenas.open(small(), None)
    with pytest.raises(UserError, match=r"open: expected an nn.Module, got an object of class type"):
        sparsenas.open(nn.Linear, torch.randn(2, 5))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"open: nothing of this network can vary: the output of the network"):
        sparsenas.open(nn.Linear(4, 2), torch.randn(2, 4))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_on_a_gpu_is_opened_on_the_cpu() -> None:
    net = small().cuda()
    space = sparsenas.open(net, torch.zeros(1, 1, 8, 8))
    assert next(space.parameters()).device.type == "cpu"
    assert next(net.parameters()).device.type == "cuda"


def test_train_and_eval_mode_open_alike() -> None:
    torch.manual_seed(0)
    nets = small().train(), small().eval()
    nets[1].load_state_dict(nets[0].state_dict())
    spaces = [sparsenas.open(net, torch.zeros(1, 1, 8, 8)) for net in nets]
    assert [net.training for net in nets] == [True, False]
    plain = [derive(space, smallest(space).gates()).eval() for space in spaces]
    x = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(plain[0](x), plain[1](x), rtol=0, atol=0)


def test_numbers_are_united_as_sets() -> None:
    """Against sets that are merged one pair at a time."""
    rng = np.random.default_rng(0)
    numbers = ChannelNumbers()
    numbers.fresh(60)
    sets = {i: {i} for i in range(61)}
    for _ in range(30):
        one, other = rng.integers(1, 61, 2)
        numbers.unite(torch.tensor([one]), torch.tensor([other]))
        merged = sets[one] | sets[other]
        sets.update(dict.fromkeys(merged, merged))
        if rng.random() < 0.3:
            numbers.labels()
    assert numbers.labels().tolist() == [min(sets[i]) for i in range(61)]


def test_transformer_positions_follow_the_stream() -> None:
    space = sparsenas.open(Transformer(), torch.randn(2, 1, 8, 8))
    plain = derive(space, smallest(space).gates())
    channels = plain.patches.out_channels  # type: ignore[union-attr]
    assert plain.token.shape == (1, 1, channels)
    assert plain.places.shape == (1, 17, channels)


def test_opened_networks_are_exported_and_loaded_without_the_library() -> None:
    _, space, x = opened("resnet")
    plain = derive(space, sample(space, 1)[1].gates()).eval()
    program = torch.export.export(plain, (x,))
    torch.testing.assert_close(program.module()(x), plain(x))
    assert isinstance(plain, ResNet)


def test_weights_of_another_network_are_told() -> None:
    wanted = {"stem.weight": torch.zeros(8, 1, 3, 3)}
    told = "--space.weights w.pt: expected stem.weight of shape .*, found none but conv.weight; are these the"
    with pytest.raises(UserError, match=told):
        check_weights(wanted, {"conv.weight": torch.zeros(1)}, "--space.weights w.pt")
    with pytest.raises(UserError, match="^--space.weights: expected a file, got 'nowhere.pt'$"):
        load_weights(small(), "nowhere.pt")
