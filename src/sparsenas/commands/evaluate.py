"""``sparsenas evaluate``: test accuracy of the found network, its ONNX file, or any architecture."""

from __future__ import annotations

import json as json_module
from pathlib import Path

from sparsenas.distributed.fabric import Device
from sparsenas.errors import UserError
from sparsenas.exporting import onnx_network
from sparsenas.job.stages.evaluate import inherited
from sparsenas.job.task import found, open_task, trained
from sparsenas.searching.config import Scoring
from sparsenas.spaces.published import read_arch
from sparsenas.training.evaluation import evaluate as accuracy_of
from sparsenas.training.evaluation import evaluate_function


def evaluate(
    run: Path,
    arch: str | None = None,
    onnx: bool = False,
    split: str = "test",
    json: bool = False,
    accelerator: str = "auto",
) -> None:
    """Prints the accuracy of a run's retrained network, of its ONNX file, or of any architecture on inherited weights.

    Args:
        run: the run folder.
        arch: evaluate this architecture on the supernet's weights instead: compact text, JSON by labels or found.
        onnx: evaluate net.onnx in ONNX Runtime instead.
        split: test or val.
        json: print one JSON object.
        accelerator: cpu, cuda, mps or auto.
    """
    fabric = Device(accelerator).fabric()
    task, config = open_task(run, fabric.device)
    images = {"test": task.data.test, "val": task.data.val}.get(split)
    if images is None:
        raise UserError(f"--split: expected test or val, got {split!r}")
    if onnx:
        what, marks = "net.onnx", evaluate_function(onnx_network(task.run), task.data, images)
    elif arch is not None:
        chosen = found(task) if arch == "found" else read_arch(task.choices, arch)
        what = f"{chosen.text()} on inherited weights"
        marks = accuracy_of(inherited(task, chosen, task.eval_batches(Scoring(**config["score"]))), task.data, images)
    else:
        what, marks = "net.pt", accuracy_of(fabric.to_device(trained(task)), task.data, images)
    if json:
        print(json_module.dumps({"network": what, "split": split, "images": len(images), **marks}))
    else:
        print(f"{what}: {marks['accuracy']:.2%} of {len(images)} {split} images, loss {marks['loss']:.4f}")
