"""Turning dispatched operations into layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from sparsenas.costs.layer import Layer, Shape
from sparsenas.costs.memory import Memory
from sparsenas.nn.quantize import Quantized

aten = torch.ops.aten


class Recorder(TorchDispatchMode):
    """Lists the layers that a network runs; the parameters of each module belong to its first layer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self.owners: list[nn.Module | None] = []
        """The module that runs each layer."""
        self.running: list[nn.Module] = []
        self.unclaimed: dict[nn.Module, int] = {}
        self.hooks: list[RemovableHandle] = []
        self.memory: Memory | None = None
        self.ends: list[int] = []
        """How many operations had run when a layer was noted, if memory is."""
        seen: set[int] = set()
        for module in net.modules():
            # Not parameters(): its generators would take a tenth of the time of a trace.
            own = [p for p in module._parameters.values() if p is not None and id(p) not in seen]
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
        self.ends.append(0 if self.memory is None else self.memory.steps)
        self.layers.append(layer)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        on_meta = bool(args) and isinstance(args[0], Tensor) and args[0].is_meta
        shortcut = _SHORTCUTS.get(func) if on_meta and not kwargs else None
        if self.memory is not None:
            self.memory.read((args, kwargs))
        output = None if shortcut is None else shortcut(args)
        if output is None:
            output = func(*args, **(kwargs or {}))
        if self.memory is not None:
            self.memory.wrote(output)
        describe = _DESCRIBE.get(func)
        if describe is not None:
            module = self.running[-1] if self.running else None
            params = self.unclaimed.pop(module, 0) if module is not None else 0
            layer = describe(args, output, params)
            self._note(module, replace(layer, bits=module.bits) if isinstance(module, Quantized) else layer)
        elif func.namespace not in _KNOWN or func.overloadpacket in _UNCOUNTED:
            warnings.warn(f"costs: the multiply-adds of {func} are not counted", stacklevel=1)
        return output

    def remove_hooks(self) -> None:
        """Leaves the modules as they were."""
        for hook in self.hooks:
            hook.remove()

    def finish(self, output: Any) -> None:
        """Appends the parameters of modules that were never called, so that every parameter is counted."""
        for module, count in self.unclaimed.items():
            self._note(module, Layer(type(module).__name__, (), (), params=count))
        if self.memory is not None:
            self._place(self.memory.alive(output))

    def _place(self, alive: NDArray[np.int64]) -> None:
        """Gives every layer the most that was alive since the one before; the last one has the rest."""
        if not self.layers:
            self._note(None, Layer("none", (), ()))
        for i, layer in enumerate(self.layers):
            start, end = self.ends[i - 1] if i else 0, self.ends[i] if i + 1 < len(self.layers) else len(alive)
            self.layers[i] = replace(layer, alive=int(alive[start:end].max(initial=0)))


@contextmanager
def as_products() -> Iterator[None]:
    """Attention and recurrent layers run on the CPU as the matrix products that they are made of."""
    fast, library = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._C._set_mkldnn_enabled(library)


def _shape(tensor: Tensor) -> Shape:
    return tuple(tensor.shape)


def _like(x: Tensor) -> Tensor:
    """A tensor of the same shape; ``empty_like`` takes ten times as long on the meta device."""
    return x.new_empty(x.shape) if x.is_contiguous() else torch.empty_like(x)


def _convolved(args: Sequence[Any]) -> Tensor | None:
    """The result of a convolution of a batch."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args
    plain = not transposed and x.dim() == weight.dim() and x.is_contiguous() and weight.is_contiguous()
    fits = plain and x.shape[1] == weight.shape[1] * groups and len(weight) % groups == 0
    if not fits or x.dtype != weight.dtype or (bias is not None and bias.shape != weight.shape[:1]):
        return None
    kernels = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=False)
    sizes = [
        (size + 2 * around - spread * (kernel - 1) - 1) // step + 1 for size, kernel, step, around, spread in kernels
    ]
    return x.new_empty(len(x), len(weight), *sizes) if len(sizes) == x.dim() - 2 and min(sizes) > 0 else None


def _normed(args: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """The result of batch norm."""
    x = args[0]
    return x.new_empty(x.shape), x.new_empty(0), x.new_empty(0)


def _combined(args: Sequence[Any]) -> Tensor:
    """The result of an addition or of a product, number by number."""
    x, y = (part if isinstance(part, Tensor) else torch.tensor(part) for part in args[:2])
    if x.shape == y.shape and x.dtype == y.dtype and x.is_contiguous():
        return x.new_empty(x.shape)  # most of them; to broadcast shapes takes ten times as long
    return torch.empty(torch.broadcast_shapes(x.shape, y.shape), dtype=torch.result_type(x, y), device="meta")


def _layer_normed(args: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor] | None:
    """The result of layer norm."""
    x, shape, *affine = args[:4]
    before = x.dim() - len(shape)
    if not all(tuple(own) == tuple(x.shape[before:]) for own in (shape, *(p.shape for p in affine if p is not None))):
        return None
    rows = (*x.shape[:before], *(1 for _ in shape))
    return _like(x), x.new_empty(rows), x.new_empty(rows)


def _multiplied(args: Sequence[Any]) -> Tensor | None:
    """The result of a linear layer on rows."""
    bias, x, y = args[:3]
    fits = x.shape[1] == y.shape[0] and bias.shape in ((), (1,), y.shape[1:])
    return x.new_empty(x.shape[0], y.shape[1]) if fits and bias.dtype == x.dtype == y.dtype else None


def _alike(args: Sequence[Any]) -> Tensor | None:
    """The result of an operation that gives a number for each."""
    return _like(args[0]) if args[0].is_floating_point() else None


def _in_place(args: Sequence[Any]) -> Tensor | None:
    """The result of such an operation that overwrites its input."""
    return args[0] if args[0].is_floating_point() else None


_SHORTCUTS: dict[Any, Callable[[Sequence[Any]], Any]] = {
    aten.convolution.default: _convolved,
    aten.native_batch_norm.default: _normed,
    aten.native_layer_norm.default: _layer_normed,
    aten.relu.default: lambda args: _like(args[0]),
    aten.relu_.default: lambda args: args[0],
    **dict.fromkeys((aten.gelu.default, aten.silu.default, aten.elu.default, aten.leaky_relu.default), _alike),
    **dict.fromkeys((aten.hardtanh.default, aten.hardswish.default, aten.hardsigmoid.default), _alike),
    **dict.fromkeys((aten.hardtanh_.default, aten.hardswish_.default, aten.hardsigmoid_.default), _in_place),
    aten.clamp.default: _alike,
    aten.clamp_.default: _in_place,
    aten.mul.Scalar: _alike,
    aten._safe_softmax.default: _alike,
    aten.addmm.default: _multiplied,
    aten.add.Tensor: _combined,
    aten.mul.Tensor: _combined,
}
"""The results of some operations; ``None`` where torch has to say. On the meta device torch takes up to milliseconds
for each of them, which would be most of the time of a trace."""


def _conv(args: Sequence[Any], output: Tensor, params: int) -> Layer:
    x, weight, _, stride, padding, dilation = args[:6]
    op = "conv_transpose2d" if args[6] else "conv2d"
    return Layer(op, _shape(x), _shape(output), _shape(weight), (*stride, *padding, *dilation, args[8]), params)


def _matrix(x: Tensor, weight: Tensor, output: Tensor, params: int) -> Layer:
    """A product with a matrix of parameters is a linear layer, with another activation a ``matmul``."""
    kind = "linear" if params else "matmul"
    return Layer(kind, _shape(x), _shape(output), (weight.shape[-1], weight.shape[-2]), (), params)


def _added_products(args: Sequence[Any], output: Tensor, params: int) -> Layer:
    """Products of matrices that are added up."""
    x, y = args[1:3]
    return _matrix(x, y, output.expand(len(x), *output.shape), params)


def _vector(matrix: Tensor, vector: Tensor, output: Tensor, params: int) -> Layer:
    """A product of a matrix and a vector."""
    return _matrix(matrix, vector[:, None], output[..., None], params)


def _bilinear(args: Sequence[Any], output: Tensor, params: int) -> Layer:
    """One product with a matrix for every output, and one with the vector that results."""
    _, weight, y = args[:3]
    outputs, first, second = weight.shape
    return Layer("bilinear", _shape(y), _shape(output), (outputs, first, second + 1), (), params)


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
    aten.baddbmm.default: lambda args, output, params: _matrix(args[1], args[2], output, params),
    aten.addbmm.default: _added_products,
    aten.mv.default: lambda args, output, params: _vector(args[0], args[1], output, params),
    aten.addmv.default: lambda args, output, params: _vector(args[1], args[2], output, params),
    aten.dot.default: lambda args, output, params: _vector(args[0][None], args[1], output[None], params),
    aten._trilinear.default: _bilinear,
    aten.linear.default: lambda args, output, params: _matrix(args[0], args[1].t(), output, params),
    aten.max_pool2d_with_indices.default: _pool("max_pool2d"),
    aten.max_pool3d_with_indices.default: _pool("max_pool3d"),
    aten.avg_pool2d.default: _pool("avg_pool2d"),
    aten.avg_pool3d.default: _pool("avg_pool3d"),
    aten._adaptive_avg_pool2d.default: _pool("mean"),
    aten.mean.dim: _pool("mean"),
}
"""How each operation becomes a layer, from its arguments, its result and its number of parameters."""

_KNOWN = ("aten", "prim", "prims", "profiler")
"""Where the operations of torch itself are."""
_UNCOUNTED = {
    *(aten._fft_r2c, aten._fft_c2r, aten._fft_c2c, aten._cdist_forward, aten._conv_depthwise2d, aten.conv_tbc),
    *(aten.grid_sampler_2d, aten.grid_sampler_3d, aten._linalg_svd, aten._linalg_eigh, aten.linalg_inv_ex),
    *(aten._linalg_solve_ex, aten.linalg_cholesky_ex, aten.linalg_matrix_exp, aten._sparse_mm),
}
"""Operations with products that no paper counts; they are told, not left out in silence."""
