"""``sparsenas evaluate``: metrics of the found network, its ONNX files, or any architecture."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Literal

from sparsenas.distributed.fabric import Device
from sparsenas.job.flag_groups import HERE, DataPlace
from sparsenas.job.measure import metrics_of
from sparsenas.objectives.words import told


def evaluate(
    run: Path,
    arch: str | None = None,
    onnx: bool = False,
    int8: bool = False,
    split: Literal["test", "val"] = "test",
    json: bool = False,
    accelerator: str = "auto",
    trust_plugins: list[str] | None = None,
    data: DataPlace = HERE,
) -> None:
    """Prints the metrics of a run's retrained network, of its ONNX files, or of any architecture on inherited weights.

    Args:
        run: run folder.
        arch: architecture to evaluate on the supernet's weights, batch norm recalibrated: compact text, JSON by labels,
            found (that of the run), or full (the largest, of an opened network the original).
        onnx: evaluate net.onnx in ONNX Runtime.
        int8: evaluate net.int8.onnx, the file of export --int8, in ONNX Runtime.
        split: examples to evaluate on.
        json: print one JSON object.
        accelerator: device type: cpu, cuda, mps or auto.
        trust_plugins: plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable.
        data: where the data of the run are now.
    """
    device = Device(accelerator).fabric().device
    found = metrics_of(run, device, arch, onnx, split, trust_plugins or [], data, int8)
    if json:
        facts = {"network": found.network, "split": found.split, "examples": found.examples}
        print(json_module.dumps({**facts, **found.metrics}))
    else:
        values = ", ".join(f"{name} {told(found.objective, name, value)}" for name, value in found.metrics.items())
        print(f"{found.network}: {values} on {found.examples} {found.split} examples")
