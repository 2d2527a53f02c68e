"""The layers that a network executes, with real shapes, without computing anything."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from sparsenas.core.derive import derive, shared_parts
from sparsenas.core.gate import Gated, Gates
from sparsenas.costs.layer import Layer, Shape
from sparsenas.costs.recorder import Recorder
from sparsenas.errors import UserError


def trace(net: nn.Module, shape: Shape) -> list[Layer]:
    """Lists the operations that ``net`` executes on one input of ``shape`` (without batch), under the gates set in it.

    The network is derived and run once on the meta device: no weight is read, no memory taken. Convolutions and
    matrix products are recorded when they are dispatched, so the code of the modules may be any.
    Raises ``UserError`` when the network cannot run on that shape.
    """
    return _record(derive(net, _gates(net), share_weights=True), (1, *shape))[0]


def trace_through(net: nn.Module, shape: Shape) -> tuple[list[Layer], Shape]:
    """As ``trace``, for a network from ``on_meta`` and a shape with batch; also returns the shape of the output.

    Saves the copy, most of the time of a trace.
    """
    return _record(shared_parts(net, _gates(net)), shape)


def trace_modules(net: nn.Module, shape: Shape) -> list[tuple[nn.Module, Layer]]:
    """As ``trace_through``, each layer with the module of ``net`` that runs it.

    Left out are layers that no module of ``net`` runs: those of functional code and of modules that ``derive`` makes.
    """
    recorder = _run(shared_parts(net, _gates(net)), shape)[0]
    own = set(net.modules())
    return [(o, layer) for o, layer in zip(recorder.owners, recorder.layers, strict=True) if o is not None and o in own]


def on_meta(net: nn.Module) -> nn.Module:
    """A copy of ``net`` that has shapes but no numbers; parameters used in several places stay one."""
    shells: dict[int, Tensor] = {}
    for tensor in (*net.parameters(), *net.buffers()):
        shell = torch.empty_like(tensor, device="meta", requires_grad=False)
        is_parameter = isinstance(tensor, nn.Parameter)
        shells[id(tensor)] = nn.Parameter(shell, tensor.requires_grad) if is_parameter else shell
    return copy.deepcopy(net, shells)


def _gates(net: nn.Module) -> Gates:
    return {module.choice.name: module.gate for module in net.modules() if isinstance(module, Gated)}


def _record(plain: nn.Module, shape: Shape) -> tuple[list[Layer], Shape]:
    recorder, output = _run(plain, shape)
    return recorder.layers, tuple(output.shape) if isinstance(output, Tensor) else ()


def _run(plain: nn.Module, shape: Shape) -> tuple[Recorder, Any]:
    recorder = Recorder(plain.eval())
    # Only now: moving makes two parameters of one that is used in two places.
    plain.to("meta", torch.float32)
    try:
        with torch.no_grad(), recorder:
            output = plain(torch.empty(shape, device="meta"))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        size = ",".join(map(str, shape[1:]))
        raise UserError(f"network does not run on an input of shape {size}: {reason}") from error
    finally:
        recorder.remove_hooks()
    recorder.finish()
    return recorder, output
