"""Why an architecture does not run: which choice, which option, which layer, which shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sparsenas.core.arch import Arch
from sparsenas.core.dag import Dag
from sparsenas.core.elastic import SliceBatchNorm2d, SliceConv2d, SliceLinear, Width
from sparsenas.core.gate import Gated, choices, set_gates
from sparsenas.core.join import Join
from sparsenas.core.quant_choice import QuantConv2d, QuantLinear
from sparsenas.costs.layer import Shape
from sparsenas.costs.trace import example_input, with_numbers
from sparsenas.errors import first_line
from sparsenas.nn.tree import Tree, call, tensors

OTHERS = 16
"""Architectures of which one may run where another does not."""


def misfit(net: nn.Module, arch: Arch, inputs: Shape | Tree) -> str | None:
    """Why ``net`` does not run on ``inputs`` under an architecture, in one line.

    ``None`` where the architecture has no part in it: then what torch says is all there is to say.
    ``net`` and ``inputs`` are as in ``trace_through``. The gates of ``net`` change.
    """
    net = with_numbers(net).cpu().eval()
    run = _watched(net, arch, inputs)
    if run.error is None:
        return None
    return _unequal(run) or _other_width(run) or _met(net, run) or _elsewhere(net, arch, run, inputs)


@dataclass
class _Run:
    """What happened until the network failed."""

    names: Mapping[nn.Module, str]
    error: Exception | None = None
    running: list[nn.Module] = field(default_factory=list)
    """The modules that were running when it failed, the innermost last."""
    inputs: dict[nn.Module, list[Any]] = field(default_factory=dict)
    outputs: dict[nn.Module, Any] = field(default_factory=dict)
    operands: list[Shape] = field(default_factory=list)
    """Shapes of the tensors of the last operation."""

    @property
    def layer(self) -> nn.Module | None:
        """The module that failed."""
        return self.running[-1] if self.running else None

    def told(self, module: nn.Module) -> str:
        """The name of a layer, for messages."""
        name = self.names.get(module)
        return f"layer {name!r} ({type(module).__name__})" if name else f"network ({type(module).__name__})"


class _Operands(TorchDispatchMode):
    def __init__(self, run: _Run) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run = run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.run.operands = [tuple(arg.shape) for arg in tensors([args, kwargs or {}])]
        return func(*args, **(kwargs or {}))


def _watched(net: nn.Module, arch: Arch, inputs: Shape | Tree) -> _Run:
    set_gates(net, arch.gates())
    run = _Run({module: name for name, module in net.named_modules()})

    def enter(module: nn.Module, args: Any) -> None:
        run.running.append(module)
        run.inputs[module] = list(args)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        run.running.pop()
        run.outputs[module] = output

    seen = [module for module in net.modules() if not isinstance(module, torch.jit.ScriptModule)]
    hooks = [module.register_forward_pre_hook(enter) for module in seen]
    hooks += [module.register_forward_hook(leave) for module in seen]
    try:
        with torch.no_grad(), _Operands(run):
            call(net, example_input(net, inputs, "cpu"))
    except Exception as error:  # code of anybody's
        run.error = error
    finally:
        for hook in hooks:
            hook.remove()
    return run


def _unequal(run: _Run) -> str | None:
    """The first choice whose options give different shapes; one inside another choice before the other."""
    told = {join: reason for join, inputs in _joins(run) if (reason := _two_shapes(join, inputs)) is not None}
    return next((told[join] for join in told if not any(part in told for part in join.ops.modules())), None)


def _two_shapes(join: Join, inputs: Sequence[Any]) -> str | None:
    shapes = [(option, _shape(_output(join, i, inputs))) for i, option in enumerate(join.choice.options)]
    (first, expected), *others = [(option, shape) for option, shape in shapes if shape is not None] or [("", ())]
    found = next(((option, shape) for option, shape in others if shape != expected), None)
    return found and (
        f"choice {join.choice.name}: option {found[0]} gives {found[1]} where option {first} gives {expected}; "
        "all options of a choice must give the same shape"
    )


def _joins(run: _Run) -> Iterator[tuple[Join, Sequence[Any]]]:
    """The joins that ran, with their inputs; those of a ``Dag`` may run without a call."""
    for module, inputs in run.inputs.items():
        if isinstance(module, Join):
            yield module, inputs
        elif isinstance(module, Dag):
            values = [*inputs, *(run.outputs.get(op) for op in module.ops)]
            yield from ((join, values) for join in (*module.joins, module.output) if isinstance(join, Join))


def _output(join: Join, option: int, inputs: Sequence[Any]) -> Any:
    source = inputs[join.sources[option]]
    try:
        with torch.no_grad():
            return None if source is None else join.ops[option](source)
    except Exception:  # it may be this option that fails
        return None


def _shape(value: Any) -> Shape | None:
    return tuple(value.shape[1:]) if isinstance(value, Tensor) else None


def _other_width(run: _Run) -> str | None:
    """A layer that reads another number of channels than its width says."""
    layer = run.layer
    sliced = layer.layer if isinstance(layer, QuantConv2d | QuantLinear) else layer
    if layer is None or not isinstance(sliced, SliceConv2d | SliceLinear | SliceBatchNorm2d):
        return None
    reads = sliced.features if isinstance(sliced, SliceBatchNorm2d) else sliced.inputs
    said = f"{reads} channels" if isinstance(reads, int) else f"{reads.value} channels of width {reads.choice.name}"
    return (
        f"{run.told(layer)}: expected {said}, got {_all_shapes(run.inputs[layer])}; "
        "a layer must have the Width of the layer that it reads"
    )


def _met(net: nn.Module, run: _Run) -> str | None:
    """An operation on tensors whose channel numbers are those of different widths."""
    channels = [shape[1] for shape in run.operands if len(shape) > 1]
    widths = {m.choice.name: m for m in net.modules() if isinstance(m, Width)}
    names = [[name for name, width in widths.items() if width.value == n] for n in channels]
    if run.layer is None or len(set(channels)) < 2 or not any(names) or list(run.layer.parameters(recurse=False)):
        return None
    told = [
        f"{shape[1:]} of {'width ' + ' or '.join(own) if own else 'no width'}"
        for shape, own in zip(run.operands, names, strict=True)
    ]
    return (
        f"{run.told(run.layer)}: {' meets '.join(told)}; layers whose outputs are added up must have the same Width "
        f"({first_line(run.error) if run.error else ''})"
    )


def _elsewhere(net: nn.Module, arch: Arch, run: _Run, inputs: Shape | Tree) -> str | None:
    """A layer that has an input of another shape in an architecture that runs."""
    rng, layer, searched = np.random.default_rng(0), run.layer, choices(net)
    if layer is None or not any(isinstance(module, Gated) for module in net.modules()):
        return None
    for other in (Arch.sample(searched, rng) for _ in range(OTHERS)):
        fine = _watched(net, other, inputs)
        if fine.error is None and layer in fine.inputs and run.error is not None:
            return (
                f"{run.told(layer)}: gets {_all_shapes(run.inputs[layer])} in architecture {arch.text()} where it gets "
                f"{_all_shapes(fine.inputs[layer])} in architecture {other.text()}: {first_line(run.error)}"
            )
    return None


def _all_shapes(inputs: Sequence[Any]) -> str:
    return " and ".join(str(tuple(x.shape[1:])) for x in tensors(list(inputs))) or "nothing"
