"""Engines: run a layer or a network to be timed, with PyTorch or ONNX Runtime."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from sparsenas.costs.latency import Settings
from sparsenas.costs.layer import Layer, Shape
from sparsenas.costs.trace import is_shape
from sparsenas.errors import UserError, check_extra, told
from sparsenas.exporting import onnx_feeds, onnx_model
from sparsenas.nn.onnx_int8 import input_names, int8_model
from sparsenas.nn.tree import Tree, arguments, map_tensors
from sparsenas.timing.onnx_layers import CONVOLUTIONS, Model, empty_model, model_of
from sparsenas.timing.timer import Trial, Work
from sparsenas.timing.torch_layers import inputs_of, module_of

NO_NAMES: Mapping[str, Tree] = {}


def batch_of(shape: Shape | Tree, size: int) -> Tree:
    """A batch of random inputs of a shape, or of copies of an example, on the CPU."""
    if is_shape(shape):
        return torch.randn(size, *shape)
    return map_tensors(lambda leaf: torch.cat([leaf[:1].cpu()] * size), shape)


class Engine(ABC):
    """Runs layers and networks on a device."""

    packages: ClassVar[tuple[str, ...]]
    """Packages whose versions matter"""

    def __init__(self, settings: Settings) -> None:
        """Raises ``UserError`` when this machine does not support the settings."""
        self.settings = settings

    @abstractmethod
    def layer(self, layer: Layer) -> Trial:
        """The work that shows the time of a layer on a random batch. Raises ``UserError`` when it cannot be rebuilt."""

    @abstractmethod
    def network(self, net: nn.Module, shape: Shape | Tree) -> Work:
        """A plain network in eval mode, ready to run on a batch.

        ``shape`` is that of one input, of which the numbers are random, or an example, which is repeated.
        """

    def versions(self) -> dict[str, str]:
        """Versions of Python and of the packages that times depend on."""
        return {"python": platform.python_version(), **{name: version(name) for name in self.packages}}


class TorchEngine(Engine):
    """PyTorch in inference mode, with channels last."""

    packages = ("torch",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if settings.accelerator == "cuda" and not torch.cuda.is_available():
            raise UserError("--accelerator cuda: expected a CUDA device, PyTorch finds none")
        self.device = torch.device(settings.accelerator)

    def layer(self, layer: Layer) -> Trial:
        """The layer, compared with an empty run."""
        inputs = [torch.randn(shape) for shape in inputs_of(layer, self.settings.batch)]
        return Trial(self._work(module_of(layer), inputs), self._work(nn.Identity(), [torch.zeros(1)]))

    def network(self, net: nn.Module, shape: Shape | Tree) -> Work:
        """The network, moved to the device."""
        args, kwargs = arguments(net, batch_of(shape, self.settings.batch))
        return self._work(net, args, kwargs)

    def _work(self, net: nn.Module, args: Sequence[Tree], kwargs: Mapping[str, Tree] = NO_NAMES) -> Work:
        net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        placed, named = map_tensors(lambda x: _channels_last(x.to(self.device)), (list(args), dict(kwargs)))

        def run() -> None:
            with torch.inference_mode():
                net(*placed, **named)

        return Work(run, torch.cuda.synchronize) if self.device.type == "cuda" else Work(run)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


class OnnxEngine(Engine):
    """ONNX Runtime with all its optimisations, by ``int8`` with 8-bit weights and activations.

    Random inputs give the ranges of the 8 bits, on which no time depends. The additions of a layer's copies have 8 bits
    as well; they are not fused and count as the layer's.
    """

    packages = ("torch", "onnx", "onnxruntime")

    def __init__(self, settings: Settings, int8: bool = False) -> None:
        super().__init__(settings)
        self.int8 = int8
        if int8 and settings.accelerator != "cpu":
            raise UserError(f"--accelerator: expected cpu with --engine {settings.engine}, got {settings.accelerator}")
        check_extra("onnx", f"--engine {settings.engine}")
        import onnxruntime

        self.provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[settings.accelerator]
        if self.provider not in onnxruntime.get_available_providers():
            raise UserError(f"--accelerator {settings.accelerator}: this ONNX Runtime has no {self.provider}")

    def layer(self, layer: Layer) -> Trial:
        """Several copies of a convolution compared with one; any other layer compared with an empty run."""
        if layer.op not in CONVOLUTIONS:
            return Trial(self.work(self.as_run(model_of(layer, self.settings.batch))), self.work(empty_model()))
        # So the conversion of the image to the runtime's layout and back is not counted.
        models = [self.as_run(model_of(layer, self.settings.batch, copies)) for copies in (COPIES, 1)]
        more, less = map(self.work, models)
        return Trial(more, less, COPIES - 1)

    def network(self, net: nn.Module, shape: Shape | Tree) -> Work:
        """The network, exported. Raises ``UserError`` where that is impossible."""
        x = batch_of(shape, self.settings.batch)
        try:
            content = onnx_model(net, x)
        except Exception as error:  # what a network may do in Python has no end
            reason = told(error)
            raise UserError(f"--engine {self.settings.engine}: the network cannot be exported: {reason}") from error
        return self.work(self.as_run(Model(content, x)))

    def as_run(self, model: Model) -> Model:
        """The model as this engine runs it; what ONNX Runtime does not quantize, a pooling say, stays as it is."""
        if not self.int8:
            return model
        return Model(int8_model(model.content, [onnx_feeds(input_names(model.content), model.inputs)]), model.inputs)

    def work(self, model: Model) -> Work:
        """A model, ready to run on its inputs."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.settings.threads
        options.inter_op_num_threads = 1
        # Many sessions are timed in turn; the threads of idle ones must not spin.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = onnxruntime.InferenceSession(model.content, options, providers=[self.provider])
        binding = session.io_binding()
        # Bound once to the device's memory, so that no run copies.
        names = [argument.name for argument in session.get_inputs()]
        for name, x in onnx_feeds(names, model.inputs).items():
            value = onnxruntime.OrtValue.ortvalue_from_numpy(x, self.settings.accelerator, 0)
            binding.bind_ortvalue_input(name, value)
        for argument in session.get_outputs():
            binding.bind_output(argument.name, self.settings.accelerator)
        return Work(lambda: session.run_with_iobinding(binding))


COPIES = 4
"""Copies of a convolution in one model."""
ACCELERATORS = ("cpu", "cuda")
ENGINES: dict[str, Callable[[Settings], Engine]] = {
    "torch": TorchEngine,
    "onnxruntime": OnnxEngine,
    "onnxruntime-int8": partial(OnnxEngine, int8=True),
}


def device_name(accelerator: str) -> str:
    """The name of the CPU or GPU."""
    if accelerator == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """A context in which PyTorch uses ``count`` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
