"""Recording what a network executes, with real shapes, without computing anything."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from sparsenas.core.derive import derive, shared_parts
from sparsenas.core.gate import Gated, Gates
from sparsenas.costs.layer import Layer, Shape
from sparsenas.errors import UserError
from sparsenas.nn.quantize import Quantized

aten = torch.ops.aten


def trace(net: nn.Module, shape: Shape) -> list[Layer]:
    """Lists the operations that ``net`` executes on one input of ``shape`` (without batch), under its running answer.

    The network is derived and run once on the meta device: no weight is read, no memory taken. Whatever the code of
    a module looks like, its convolutions and matrix products are seen as they are dispatched.
    Raises ``UserError`` when the network cannot run on that shape.
    """
    return _record(derive(net, _running(net), share_weights=True), (1, *shape))[0]


def trace_through(net: nn.Module, shape: Shape) -> tuple[list[Layer], Shape]:
    """As ``trace``, for what ``on_meta`` returns and a shape with batch; also returns the shape of the output.

    Saves the copy, most of the time of a trace.
    """
    return _record(shared_parts(net, _running(net)), shape)


def trace_modules(net: nn.Module, shape: Shape) -> list[tuple[nn.Module, Layer]]:
    """As ``trace_through``, each layer with the module of ``net`` that runs it; those of code around them are left out.

    What ``derive`` makes anew is no module of ``net``, so it is left out as well.
    """
    recorder = _run(shared_parts(net, _running(net)), shape)[0]
    own = set(net.modules())
    return [(o, layer) for o, layer in zip(recorder.owners, recorder.layers, strict=True) if o is not None and o in own]


def _running(net: nn.Module) -> Gates:
    return {module.choice.name: module.gate for module in net.modules() if isinstance(module, Gated)}


def _record(plain: nn.Module, shape: Shape) -> tuple[list[Layer], Shape]:
    recorder, output = _run(plain, shape)
    return recorder.layers, _shape(output) if isinstance(output, Tensor) else ()


def _run(plain: nn.Module, shape: Shape) -> tuple[_Recorder, Any]:
    recorder = _Recorder(plain.eval())
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
        recorder.prune_ops()
    recorder.finish()
    return recorder, output


def on_meta(net: nn.Module) -> nn.Module:
    """A copy of ``net`` that has shapes but no numbers; parameters used in several places stay one."""
    shells: dict[int, Tensor] = {}
    for tensor in (*net.parameters(), *net.buffers()):
        shell = torch.empty_like(tensor, device="meta", requires_grad=False)
        is_parameter = isinstance(tensor, nn.Parameter)
        shells[id(tensor)] = nn.Parameter(shell, tensor.requires_grad) if is_parameter else shell
    return copy.deepcopy(net, shells)


class _Recorder(TorchDispatchMode):
    """Turns dispatched operations into layers; each module's parameters go to the first layer that it runs."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self.owners: list[nn.Module | None] = []
        self.running: list[nn.Module] = []
        self.unclaimed: dict[nn.Module, int] = {}
        self.hooks: list[RemovableHandle] = []
        seen: set[int] = set()
        for module in net.modules():
            own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
            seen.update(map(id, own))
            if own:
                self.unclaimed[module] = sum(p.numel() for p in own)
            self.hooks += [module.register_forward_pre_hook(self._enter), module.register_forward_hook(self._leave)]

    def _enter(self, module: nn.Module, args: Any) -> None:
        self.running.append(module)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.running.pop()
        if module in self.unclaimed and isinstance(output, Tensor) and args and isinstance(args[0], Tensor):
            shapes = tuple(args[0].shape), tuple(output.shape)
            self._note(module, Layer(type(module).__name__, *shapes, params=self.unclaimed.pop(module)))

    def _note(self, module: nn.Module | None, layer: Layer) -> None:
        self.owners.append(module)
        self.layers.append(layer)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        shortcut = _SHORTCUTS.get(func)
        output = func(*args, **(kwargs or {})) if shortcut is None else shortcut(args)
        describe = _DESCRIBE.get(func)
        if describe is not None:
            module = self.running[-1] if self.running else None
            params = self.unclaimed.pop(module, 0) if module is not None else 0
            layer = describe(args, output, params)
            self._note(module, replace(layer, bits=module.bits) if isinstance(module, Quantized) else layer)
        return output

    def prune_ops(self) -> None:
        """Leaves the modules as they were found."""
        for hook in self.hooks:
            hook.remove()

    def finish(self) -> None:
        """Appends the parameters of modules that were never called, so that none is lost."""
        for module, count in self.unclaimed.items():
            self._note(module, Layer(type(module).__name__, (), (), params=count))


def _shape(tensor: Tensor) -> Shape:
    return tuple(tensor.shape)


def _normed(args: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """What batch norm returns."""
    x = args[0]
    return torch.empty(x.shape, device=x.device), x.new_empty(0), x.new_empty(0)


def _added(args: Sequence[Any]) -> Tensor:
    """What an addition returns."""
    x, y = (part if isinstance(part, Tensor) else torch.tensor(part) for part in args[:2])
    return torch.empty(torch.broadcast_shapes(x.shape, y.shape), dtype=torch.result_type(x, y), device="meta")


_SHORTCUTS: dict[Any, Callable[[Sequence[Any]], Any]] = {
    aten.native_batch_norm.default: _normed,
    aten.relu.default: lambda args: torch.empty_like(args[0]),
    aten.relu_.default: lambda args: args[0],
    aten.add.Tensor: _added,
}
"""What some operations return. Torch works it out on the meta device in milliseconds, most of the time of a trace."""


def _conv(args: Sequence[Any], output: Tensor, params: int) -> Layer:
    x, weight, _, stride, padding, dilation = args[:6]
    op = "conv_transpose2d" if args[6] else "conv2d"
    return Layer(op, _shape(x), _shape(output), _shape(weight), (*stride, *padding, *dilation, args[8]), params)


def _matrix(x: Tensor, weight: Tensor, output: Tensor, params: int) -> Layer:
    """A product with a matrix of parameters is a linear layer, with another activation a ``matmul``."""
    kind = "linear" if params else "matmul"
    return Layer(kind, _shape(x), _shape(output), (weight.shape[-1], weight.shape[-2]), (), params)


def _pool(op: str) -> Callable[[Sequence[Any], Any, int], Layer]:
    def describe(args: Sequence[Any], output: Any, params: int) -> Layer:
        result = output[0] if isinstance(output, tuple) else output
        kernel, stride, padding = (*args[1:4], (), ())[:3] if op != "mean" else ((), (), ())
        return Layer(op, _shape(args[0]), _shape(result), (), (*kernel, *stride, *padding), params)

    return describe


_DESCRIBE: dict[Any, Callable[[Sequence[Any], Any, int], Layer]] = {
    aten.convolution.default: _conv,
    aten.addmm.default: lambda args, output, params: _matrix(args[1], args[2], output, params),
    aten.mm.default: lambda args, output, params: _matrix(args[0], args[1], output, params),
    aten.bmm.default: lambda args, output, params: _matrix(args[0], args[1], output, params),
    aten.linear.default: lambda args, output, params: _matrix(args[0], args[1].t(), output, params),
    aten.max_pool2d_with_indices.default: _pool("max_pool2d"),
    aten.avg_pool2d.default: _pool("avg_pool2d"),
    aten._adaptive_avg_pool2d.default: _pool("mean"),
    aten.mean.dim: _pool("mean"),
}
