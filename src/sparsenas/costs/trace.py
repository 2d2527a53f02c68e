"""The layers that a network executes, with real shapes, without computing anything."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sparsenas.core.derive import Replacements, derive, shared_parts
from sparsenas.core.gate import Gated, Gates
from sparsenas.costs.layer import Layer, Shape
from sparsenas.costs.memory import Memory
from sparsenas.costs.recorder import Recorder, as_products
from sparsenas.errors import UserError, first_line
from sparsenas.nn.clone import copy_with
from sparsenas.nn.tree import Tree, call, map_tensors, shapes


def trace(net: nn.Module, shape: Shape | Tree) -> list[Layer]:
    """Lists the operations that ``net`` executes on one example, under the gates set in it.

    The network is derived and run once on the meta device: no weight is read, no memory taken. One that needs numbers
    there, such as one with a branch on data, runs on the CPU, on arbitrary weights. Convolutions and matrix products
    are recorded when they are dispatched, so the code of the modules may be any.

    Args:
        net: the network.
        shape: of its input without batch, or an example: a tree of tensors whose first dimension is 1.

    Raises ``UserError`` when the network cannot run on that shape.
    """
    check_traceable(net)
    return _record(derive(net, _gates(net), share_weights=True), batch_of_one(shape), memory=True)[0]


def trace_through(net: nn.Module, inputs: Shape | Tree, memory: bool = False) -> tuple[list[Layer], Shape]:
    """As ``trace``, for a network from ``on_meta`` and a shape with batch; also returns the shape of the output.

    Saves the copy, most of the time of a trace, and the bytes that are alive unless ``memory`` is asked for.
    """
    return _record(shared_parts(net), inputs, memory)


def batch_of_one(shape: Shape | Tree) -> Shape | Tree:
    """The input of ``trace_through`` for one example: its shape with batch, or the example itself."""
    return (1, *shape) if is_shape(shape) else shape


def is_shape(shape: Shape | Tree) -> bool:
    """Whether this is a shape, not an example."""
    return isinstance(shape, tuple | list) and all(isinstance(size, int) for size in shape)


def check_traceable(net: nn.Module) -> None:
    """Raises ``UserError`` for a lazy layer that has no sizes yet, and for a scripted one, which hides what it runs."""
    for name, module in net.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise UserError(
                f"layer {name!r}: expected a module of Python, got a scripted one, whose operations cannot be seen; "
                "put the module there that it was made from"
            )
        own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if any(nn.parameter.is_lazy(tensor) for tensor in own):
            kind = type(module).__name__
            raise UserError(
                f"layer {name or kind!r}: expected known sizes, got a {kind} without any; "
                "run the network once on an example where it is built, or write the sizes"
            )


def trace_modules(net: nn.Module, inputs: Shape | Tree) -> list[tuple[nn.Module, Layer]]:
    """As ``trace_through``, each layer with the module of ``net`` that runs it.

    Left out are layers that no module of ``net`` runs: those of functional code and of modules that ``derive`` makes.
    """
    recorder = _run(shared_parts(net), inputs, memory=False)[0]
    own = set(net.modules())
    return [(o, layer) for o, layer in zip(recorder.owners, recorder.layers, strict=True) if o is not None and o in own]


class Origin(NamedTuple):
    """Where a layer comes from."""

    module: nn.Module
    """A module of the network that was traced: the one that runs the layer, or the one that ``derive`` replaced."""
    path: str
    """The name of the part of the replacement that runs it."""


def trace_origins(net: nn.Module, inputs: Shape | Tree, derived: Replacements) -> list[tuple[Origin, Layer]]:
    """As ``trace_through``, each layer with its origin; ``derived`` saves time in all traces but the first."""
    done: dict[nn.Module, nn.Module] = {}
    plain = shared_parts(net, done, derived)
    recorder = _run(plain, inputs, memory=False)[0]
    own = set(net.modules())
    stands_for = {replacement: module for module, replacement in done.items() if module in own}
    origins: dict[nn.Module, Origin] = {}
    _find_origins(plain, Origin(net, ""), stands_for, origins)
    owners = [plain if owner is None else owner for owner in recorder.owners]
    return [(origins[owner], layer) for owner, layer in zip(owners, recorder.layers, strict=True)]


def _find_origins(
    plain: nn.Module, here: Origin, stands_for: Mapping[nn.Module, nn.Module], origins: dict[nn.Module, Origin]
) -> None:
    origins[plain] = here = Origin(stands_for[plain], "") if plain in stands_for else here
    for name, child in plain.named_children():
        if child not in origins:
            _find_origins(child, Origin(here.module, f"{here.path}.{name}"), stands_for, origins)


def _gates(net: nn.Module) -> Gates:
    return {module.choice.name: module.gate for module in net.modules() if isinstance(module, Gated)}


def _record(plain: nn.Module, inputs: Shape | Tree, memory: bool) -> tuple[list[Layer], Shape]:
    recorder, output = _run(plain, inputs, memory)
    return recorder.layers, tuple(output.shape) if isinstance(output, Tensor) else ()


def _run(plain: nn.Module, inputs: Shape | Tree, memory: bool) -> tuple[Recorder, Any]:
    plain.eval()
    try:
        return _run_on(plain, inputs, "meta", memory)
    except _ERRORS as error:
        try:
            return _run_on(with_numbers(plain), inputs, "cpu", memory)
        except _ERRORS as other:
            # Where there are no numbers, the first error may be that there are none.
            told = other if isinstance(error, NotImplementedError) or "meta" in str(error) else error
            reason, size = first_line(told), ",".join(map(str, inputs[1:])) if is_shape(inputs) else shapes(inputs)
            raise UserError(f"network does not run on an input of shape {size}: {reason}") from told


_ERRORS = (RuntimeError, TypeError, ValueError, IndexError)


def _run_on(plain: nn.Module, inputs: Shape | Tree, device: str, memory: bool) -> tuple[Recorder, Any]:
    recorder = Recorder(plain)
    # Only now: moving makes two parameters of one that is used in two places.
    plain.to(device)
    recorder.memory = Memory(plain) if memory else None
    try:
        with torch.no_grad(), nullcontext() if device == "meta" else as_products(), recorder:
            x = example_input(plain, inputs, device)
            if recorder.memory is not None:
                recorder.memory.read(x)
            output = call(plain, x)
    finally:
        recorder.remove_hooks()
    recorder.finish(output)
    return recorder, output


def example_input(net: nn.Module, inputs: Shape | Tree, device: str = "meta") -> Tree:
    """The input on a device, its floats of the network's own precision; ``inputs`` as in ``trace_through``."""
    dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.float32)

    def moved(x: Tensor) -> Tensor:
        x = torch.zeros(x.shape, dtype=x.dtype, device=device) if x.is_meta else x.to(device)
        return x.to(dtype) if x.is_floating_point() else x

    return map_tensors(moved, torch.empty(inputs, device="meta") if is_shape(inputs) else inputs)


def with_numbers(plain: nn.Module) -> nn.Module:
    """A copy on the CPU; parameters that have no numbers get small ones, buffers zeros."""
    tensors: dict[int, Any] = {}
    for tensor in (*plain.parameters(), *plain.buffers()):
        if tensor.is_meta:
            value = torch.zeros(tensor.shape, dtype=tensor.dtype)
            known = isinstance(tensor, nn.Parameter)
            tensors[id(tensor)] = nn.Parameter(value + 0.01, tensor.requires_grad) if known else value
    return copy_with(plain, tensors)
