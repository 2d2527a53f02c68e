"""Costs of the whole trace: peak memory against a slow reference, and costs of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nets import SHAPE, random_net
from sparsenas.core.arch import Arch, every_arch
from sparsenas.core.derive import derive
from sparsenas.core.gate import choices
from sparsenas.core.join import Join
from sparsenas.costs import COSTS, ON_REQUEST, Budget, CostTable, Layer, Limits, total, trace
from sparsenas.errors import UserError
from sparsenas.job.limits import more_costs
from sparsenas.nn.blocks import Residual, conv_bn
from sparsenas.spaces import tiny

PEAK = ON_REQUEST["peak_memory"]


def peak(net: nn.Module, shape: Any) -> float:
    return total(PEAK, trace(net, shape))


class Reference(TorchDispatchMode):
    """All operations of a run, with the storages that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[list[Tensor], list[Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.steps.append((_tensors((args, kwargs)), _tensors(out)))
        return out


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def slow_peak(net: nn.Module, x: Tensor) -> int:
    """For each moment, the bytes of all storages that were made or given before it and are read at it or later."""
    with torch.no_grad(), Reference() as run:
        out = net.eval()(x)
    moments = [([], [x]), *run.steps, ([out], [])]
    own = {_pointer(p) for p in (*net.parameters(), *net.buffers())}
    sizes = {_pointer(t): t.untyped_storage().nbytes() for read, written in moments for t in (*read, *written)}
    reads = [{_pointer(tensor) for tensor in read} - own for read, _ in moments]
    seen = [{_pointer(tensor) for tensor in (*read, *written)} - own for read, written in moments]
    return max(
        sum(sizes[pointer] for pointer in set().union(*seen[: now + 1]) & set().union(*reads[now:]))
        for now in range(1, len(moments))
    )


def _pointer(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@pytest.mark.parametrize("seed", range(6))
def test_peak_memory_is_that_of_the_reference(seed: int) -> None:
    net = random_net(seed)
    gates = Arch.sample(choices(net), np.random.default_rng(seed)).gates()
    plain = derive(net, gates)
    assert peak(plain, SHAPE) == slow_peak(plain, torch.zeros(1, *SHAPE, dtype=torch.float64))


@pytest.mark.parametrize(
    ("net", "shape", "numbers"),
    [
        (nn.Linear(7, 5), (7,), 7 + 5),
        (nn.Sequential(nn.Linear(4, 9), nn.ReLU(inplace=True), nn.Linear(9, 2)), (4,), 4 + 9),
        (nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2)), (4,), 9 + 9),
        (nn.Sequential(nn.Linear(4, 9), nn.Flatten(), nn.Linear(9, 20)), (4,), 9 + 20),
        (Residual(nn.Sequential(nn.Linear(4, 9), nn.Linear(9, 4))), (4,), 4 + 9 + 4),
        (nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2)), (3, 8, 8), 3 * 64 + 8 * 64),
        (nn.Identity(), (4,), 4),
    ],
)
def test_peak_memory_is_that_counted_by_hand(net: nn.Module, shape: tuple[int, ...], numbers: int) -> None:
    assert peak(net, shape) == 4 * numbers
    assert peak(net.double(), shape) == (8 if list(net.parameters()) else 4) * numbers


def exported_peak(net: nn.Module, x: Tensor) -> int:
    """The bytes alive at once while the program that torch.export makes runs node by node."""
    program = torch.export.export(net.eval(), (x,))
    signature, nodes = program.graph_signature, list(program.graph.nodes)
    state = {**program.state_dict, **program.constants}
    own = {n: state[key] for n, key in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items()}
    last = {read: i for i, node in enumerate(nodes) for read in node.all_input_nodes}
    seen: dict[int, tuple[int, int, int]] = {}
    values: dict[Any, Any] = {}
    for i, node in enumerate(nodes):
        values[node] = own.get(node.name, x) if node.op == "placeholder" else None
        if node.op == "call_function":
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), lambda read: values[read])
            values[node] = node.target(*args, **kwargs)
        for tensor in _tensors(values[node]) if node.name not in own else []:
            first, end, size = seen.get(_pointer(tensor), (i, i, tensor.untyped_storage().nbytes()))
            seen[_pointer(tensor)] = first, max(end, last.get(node, i)), size
    return max(sum(size for first, end, size in seen.values() if first <= i <= end) for i in range(len(nodes)))


@pytest.mark.parametrize("seed", range(3))
def test_peak_memory_is_that_of_the_exported_program(seed: int) -> None:
    net = tiny(width=8, blocks=4)
    plain = derive(net, Arch.sample(choices(net), np.random.default_rng(seed)).gates())
    assert peak(plain, (1, 8, 8)) == exported_peak(plain, torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("seed", range(2))
def test_peak_memory_is_what_pytorch_tracks_while_the_exported_program_runs(seed: int) -> None:
    net = tiny(width=8, blocks=4)
    plain = derive(net, Arch.sample(choices(net), np.random.default_rng(seed)).gates()).eval()
    x = torch.zeros(1, 1, 8, 8)
    program = torch.export.export(plain, (x,)).module()
    tracker = MemTracker()
    tracker.track_external(program, x)
    with torch.no_grad(), tracker:
        program(x)
    tracked = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
    assert peak(plain, (1, 8, 8)) == tracked[_MemRefType.ACT]


def test_the_profiler_sees_the_same_where_kernels_allocate_nothing_else() -> None:
    net = Residual(nn.Sequential(nn.Linear(500, 3000), nn.ReLU(), nn.Linear(3000, 500))).eval()
    x = torch.zeros(1, 500)
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        net(x)
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    alive = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    assert peak(net, (500,)) == pytest.approx(alive.max() + x.nbytes, rel=0.05)


def space() -> nn.Module:
    def ops() -> dict[str, nn.Module]:
        return {"wide": nn.Sequential(conv_bn(3, 9, 3), conv_bn(9, 3, 1)), "narrow": conv_bn(3, 3, 3)}

    return nn.Sequential(*(Join.of(f"l{i}", ops()) for i in range(3)))


def test_the_table_has_costs_of_the_whole_trace_beside_the_others() -> None:
    net = space()
    table = CostTable(net, (3, 8, 8), {**COSTS, "peak_memory": PEAK})
    archs = list(every_arch(table.choices))
    found = table(archs)
    for i, arch in enumerate(archs):
        plain = derive(net, arch.gates())
        assert found["peak_memory"][i] == peak(plain, (3, 8, 8)) == table.exact(arch)["peak_memory"]
        assert found["flops"][i] == total(COSTS["flops"], trace(plain, (3, 8, 8)))
    assert table.additive_terms("flops") is not None
    assert table.additive_terms("peak_memory") is None
    low, high = (table.exact(arch)["peak_memory"] for arch in table.extremes("peak_memory"))
    assert (low, high) == (found["peak_memory"].min(), found["peak_memory"].max())
    limits = Limits(table, [Budget("peak_memory", at_most=low)])
    assert limits.legal(archs).sum() == 1


def test_other_costs_do_not_pay_for_it() -> None:
    layers = trace(space_of_one(), (3, 8, 8))
    table = CostTable(space(), (3, 8, 8))
    assert "peak_memory" not in table.costs
    assert max(layer.alive for layer in layers) > 0
    assert layers == [Layer(**{**vars(layer), "alive": 0}) for layer in layers]


def space_of_one() -> nn.Module:
    return conv_bn(3, 3, 3)


def energy(layer: Layer) -> float:
    return 0.25 * layer.params


def depth(layers: Sequence[Layer]) -> int:
    return sum(1 for layer in layers if layer.op == "conv2d")


def two(layer: Layer, other: float) -> float:
    return other


def test_costs_of_ones_own_are_real_numbers_of_a_layer_or_of_the_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = more_costs([energy, depth, "peak_memory"])
    assert list(own) == ["energy", "depth", "peak_memory"]
    net = space()
    table = CostTable(net, (3, 8, 8), {**COSTS, **own})
    for arch in every_arch(table.choices):
        values = table.exact(arch)
        assert values["energy"] == values["params"] / 4
        assert values["depth"] == 3 + sum(arch[name] == (0,) for name in arch)
        limits = Limits(table, [Budget(cost, values[cost], values[cost]) for cost in ("energy", "depth")])
        drawn = limits.start
        assert table.exact(drawn)["energy"] == values["energy"]
    (tmp_path / "mine_of_a_test.py").write_text("def weight(layer):\n    return layer.params * 0.5\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(more_costs(["mine_of_a_test:weight"], ["peak_memory<=1e6"])) == ["peak_memory", "weight"]


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ("memory", "expected one of package.module:callable, peak_memory, bytes, got 'memory'"),
        ("no_such_module:f", "expected an importable module"),
        ("math:pi", "expected a function or class in math"),
        (two, "--cost two: expected a function of one layer, or of a list called layers, got one of 2 arguments"),
        (lambda layer: 1, "expected a function with a name"),
        (COSTS["flops"], "--cost flops: expected another name"),
    ],
)
def test_a_cost_that_cannot_be_used_is_named(cost: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        more_costs([cost])
    assert message in str(caught.value)
    assert "--cost" in str(caught.value)
