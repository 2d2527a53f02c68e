"""The space of AutoFormer: its networks are plain vision transformers of the published sizes."""

from __future__ import annotations

from typing import Any

import onnxruntime
import pytest
import torch
from tests.test_relative import attend, vectors
from torch import Tensor, nn
from torch.nn import functional as F

from sparsenas.commands.run import run
from sparsenas.core.arch import Arch, space_size
from sparsenas.core.canonical import canonicalize
from sparsenas.core.depth import OptionalBlock
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices, set_gates
from sparsenas.costs import CostTable
from sparsenas.costs.factors import FactorCosts
from sparsenas.errors import UserError
from sparsenas.exporting import onnx_model
from sparsenas.job.flags.parse import parse
from sparsenas.nn.blocks import DropPath
from sparsenas.spaces import vit
from sparsenas.spaces.published import PUBLISHED, read_arch
from sparsenas.testing import check_space, shaken

SHAPE = (2, 8, 12)
SIZES: dict[str, Any] = {"embed": (6, 8), "heads": (1, 2), "ratios": (1.3, 2.0), "depths": (1, 2), "head_size": 4}
SIZES |= {"distance": 1, "patch": 4, "shape": SHAPE, "classes": 3}


def test_conformance() -> None:
    check_space(lambda: vit(**SIZES), SHAPE, archs=8)


def by_hand(net: nn.Module, x: Tensor, embed: int, heads: list[int], ratios: list[float], pool: str) -> Tensor:
    """The first slices of the largest weights, as the paper writes a vision transformer."""
    weights = dict(net.named_parameters())

    def linear(x: Tensor, name: str, outputs: int) -> Tensor:
        return x @ weights[f"{name}.weight"][:outputs, : x.shape[-1]].T + weights[f"{name}.bias"][:outputs]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (embed,), weights[f"{name}.weight"][:embed], weights[f"{name}.bias"][:embed])

    def positions(name: str) -> Tensor:
        none = torch.zeros(4, 4)
        return vectors(weights.get(f"{name}.vertical", none), weights.get(f"{name}.horizontal", none), (2, 3))

    def attention(x: Tensor, name: str, heads: int) -> Tensor:
        query, key, value = (linear(x, f"{name}.{part}", heads * 4) for part in ("query", "key", "value"))
        to_keys, to_values = (positions(f"{name}.attend.{part}") for part in ("keys", "values"))
        columns = [slice(4 * i, 4 * i + 4) for i in range(heads)]
        mixed = [attend(query[..., c], key[..., c], value[..., c], to_keys, to_values) for c in columns]
        return linear(torch.cat(mixed, -1), f"{name}.project", embed)

    kernel = weights["0.0.conv.weight"][:embed]
    rows = [[(x[:, None, :, i : i + 4, j : j + 4] * kernel).sum((2, 3, 4)) for j in (0, 4, 8)] for i in (0, 4)]
    tokens = torch.stack([patch for row in rows for patch in row], 1) + weights["0.0.conv.bias"][:embed]
    first = weights["0.1.token"][..., :embed].expand(len(x), 1, embed)
    x = torch.cat([first, tokens], 1) + weights["0.1.position"][..., :embed]
    for i, (n, ratio) in enumerate(zip(heads, ratios, strict=True), 1):
        block = f"{i}.block" if i > 1 else f"{i}"
        x = x + attention(norm(x, f"{block}.0.body.0"), f"{block}.0.body.1", n)
        middle = F.gelu(linear(norm(x, f"{block}.1.body.0"), f"{block}.1.body.1", int(embed * ratio)))
        x = x + linear(middle, f"{block}.1.body.3", embed)
    x = norm(x, "3.0")
    return linear(x[:, 1:].mean(1) if pool == "mean" else x[:, 0], "3.2", 3)


@pytest.mark.parametrize("pool", ["mean", "token"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_path_is_a_transformer_of_the_first_slices(pool: Any, relative: bool) -> None:
    net = shaken(vit(**SIZES, pool=pool, relative=relative)).eval()
    x = torch.randn(2, *SHAPE)
    for embed, heads, ratios in ((6, [2], [1.3]), (8, [1, 2], [2.0, 1.3]), (6, [1, 1], [2.0, 2.0])):
        labels = {"embed": str(embed), "depth": str(len(heads)), "block2.heads": "1", "block2.ratio": "1.3"}
        for i, (n, ratio) in enumerate(zip(heads, ratios, strict=True), 1):
            labels |= {f"block{i}.heads": str(n), f"block{i}.ratio": str(ratio)}
        set_gates(net, Arch.from_json(choices(net), labels).gates())
        torch.testing.assert_close(net(x), by_hand(net, x, embed, heads, ratios, pool), rtol=1e-4, atol=1e-5)


def largest(net: nn.Module) -> Arch:
    return Arch(choices(net), {name: (len(choice.options) - 1,) for name, choice in choices(net).items()})


def test_the_derived_network_is_plain() -> None:
    net = shaken(vit(**SIZES))
    plain = derive(net, largest(net))
    assert {type(module).__module__.rpartition(".")[0] for module in plain.modules()} == {
        "torch.nn.modules",
        "sparsenas.nn",
    }
    x = torch.randn(2, *SHAPE)
    exported = torch.export.export(plain.eval(), (x,)).module()
    torch.testing.assert_close(exported(x), plain(x))
    session = onnxruntime.InferenceSession(onnx_model(plain, x, any_batch=True))
    many = torch.randn(5, *SHAPE)
    (found,) = session.run(None, {session.get_inputs()[0].name: many.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), plain(many), rtol=1e-4, atol=1e-5)


def test_blocks_that_do_not_run_decide_nothing() -> None:
    net = vit(**SIZES)
    full = largest(net).to_json()
    first = {"block2.heads": "1", "block2.ratio": "1.3"}
    whole = canonicalize(net, Arch.from_json(choices(net), full))
    assert whole.to_json() == full
    short = canonicalize(net, Arch.from_json(choices(net), full | {"depth": "1"}))
    assert short.to_json() == full | {"depth": "1"} | first


def test_the_published_network_has_the_published_size() -> None:
    space, flags, labels = PUBLISHED["autoformer_t"]
    net = vit(**flags)
    arch = read_arch(choices(net), "autoformer_t")
    ratios = [float(str(labels[f"block{i}.ratio"])) for i in range(1, 14)]
    inner = [64 * int(str(labels[f"block{i}.heads"])) for i in range(1, 14)]
    e, n = 192, 197
    block_params = sum(
        3 * (e + 1) * q + (q + 1) * e + 2 * int(e * r) * e + int(e * r) + 5 * e + 4 * 30 * 64
        for q, r in zip(inner, ratios, strict=True)
    )
    params = 3 * 16 * 16 * e + e + (n + 1) * e + block_params + 2 * e + (e + 1) * 1000
    block_flops = sum(
        4 * n * e * q + 2 * n * (n + 29) * q + 2 * n * e * int(e * r) for q, r in zip(inner, ratios, strict=True)
    )
    flops = 3 * 16 * 16 * e * 196 + block_flops + e * 1000
    found = CostTable(net, (3, 224, 224)).exact(arch)
    assert (found["params"], found["flops"]) == (params, flops) == (5_867_944, 1_312_486_912)
    assert sum(p.numel() for p in derive(net, arch).parameters()) == params


def test_costs_are_looked_up_though_two_choices_decide_a_width() -> None:
    """A width is the rounded product of two others; ``check_space`` compares the looked-up costs with traces."""
    models = CostTable(vit(**SIZES), SHAPE).models
    assert all(isinstance(models[cost], FactorCosts) for cost in ("flops", "params", "memory_access"))


@pytest.mark.parametrize(
    ("argv", "shape", "tokens"),
    [(["vit_digits"], (1, 8, 8), 16), (["vit_cifar10", "--data.root", "x"], (3, 32, 32), 64)],
)
def test_the_recipes_build_their_space(argv: list[str], shape: tuple[int, int, int], tokens: int) -> None:
    (flags,) = parse(run, ["--config", *argv]).values()
    net = flags.space.build("space", shape=shape, classes=10)
    assert net[0][1].position.shape[1] == tokens + 1
    assert (flags.search.optimizer, flags.search.schedule, flags.search.smoothing) == ("adamw", "cosine", 0.1)
    assert flags.retrain.drop_path == 0.1


def test_the_default_space_is_the_published_one() -> None:
    assert space_size(choices(vit())) == 3 * 3 * (2 * 2) ** 14


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"patch": 3}, "--space.patch: expected a divisor of the image's sides 8 and 12, got 3"),
        ({"pool": "max"}, "--space.pool: expected mean or token, got 'max'"),
        ({"head_size": 0}, "--space.head_size: expected >= 1, got 0"),
        ({"distance": 0}, "--space.distance: expected >= 1, got 0"),
        ({"depths": (2, 1)}, r"--space.depths: expected increasing positive numbers, got \(2, 1\)"),
        ({"heads": ()}, r"--space.heads: expected increasing positive numbers, got \(\)"),
        ({"ratios": (2.0, 1.0)}, r"--space.ratios: expected increasing positive numbers, got \(2.0, 1.0\)"),
        ({"embed": (0, 1)}, r"--space.embed: expected increasing positive numbers, got \(0, 1\)"),
    ],
)
def test_flags_that_make_no_transformer(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        vit(**SIZES | flags)


def test_depths_must_increase() -> None:
    with pytest.raises(UserError, match="depth 'd': expected increasing positive numbers of blocks"):
        OptionalBlock("d", (2, 2), 1, nn.Identity())


def test_drop_path_drops_whole_inputs_of_any_shape() -> None:
    drop = DropPath(0.5).train()
    for shape in ((64, 3, 2), (64, 3, 2, 2)):
        y = drop(torch.ones(shape)).flatten(1)
        assert y.shape == (64, torch.Size(shape[1:]).numel())
        assert set(y.unique().tolist()) == {0.0, 2.0}
        assert (y == y[:, :1]).all()
