"""Modules, and the table of ONNX operators, that the processes of the tests have before they are forked."""

import importlib
from functools import cache

from torch.onnx._internal.exporter._registration import ONNXRegistry

MODULES = (
    "sparsenas.commands.run", "lightning_fabric", "sklearn.datasets", "sklearn.model_selection", "kornia.augmentation",
    "networkx", "onnxruntime", "onnxscript.function_libs", "plotly.tools", "torch._dynamo", "torch.export",
)  # fmt: skip
"""Those that commands import when they use them."""

for name in MODULES:
    importlib.import_module(name)
ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))  # type: ignore[method-assign]
ONNXRegistry.from_torchlib()
