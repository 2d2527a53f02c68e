"""``sparsenas evaluate``: accuracy of the found network, its ONNX file, or any architecture."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Literal

from sparsenas.distributed.fabric import Device
from sparsenas.job.measure import accuracy_of


def evaluate(
    run: Path,
    arch: str | None = None,
    onnx: bool = False,
    split: Literal["test", "val"] = "test",
    json: bool = False,
    accelerator: str = "auto",
    trust_plugins: list[str] | None = None,
) -> None:
    """Prints the accuracy of a run's retrained network, of its ONNX file, or of any architecture on inherited weights.

    Args:
        run: run folder.
        arch: architecture to evaluate on the supernet's weights: compact text, JSON by labels, or found.
        onnx: evaluate net.onnx in ONNX Runtime.
        split: images to evaluate on.
        json: print one JSON object.
        accelerator: device type: cpu, cuda, mps or auto.
        trust_plugins: plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable.
    """
    device = Device(accelerator).fabric().device
    found = accuracy_of(run, device, arch, onnx, split, trust_plugins or [])
    if json:
        print(json_module.dumps(found._asdict()))
    else:
        print(f"{found.network}: {found.accuracy:.2%} of {found.images} {found.split} images, loss {found.loss:.4f}")
