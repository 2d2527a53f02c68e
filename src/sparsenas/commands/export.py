"""``sparsenas export``: ONNX and torch.export files of the found network, checked on real images."""

from __future__ import annotations

from pathlib import Path

import torch

from sparsenas.exporting import export_network
from sparsenas.job.task import Task, open_task, trained
from sparsenas.nn.quantize import freeze_weights
from sparsenas.rundir.results import add_results

IMAGES = 64


def export(run: Path) -> None:
    """Writes net.pt2 (torch.export) and net.onnx, which run where sparsenas is not installed.

    Both are checked against the network on real images.

    Args:
        run: the run folder with a trained network.
    """
    task, _ = open_task(run, torch.device("cpu"))
    export_stage(task)


def export_stage(task: Task) -> None:
    """Makes net.pt2 and net.onnx from net.pt."""
    net = trained(task)
    freeze_weights(net)
    images = task.data.inputs(next(task.data.val.batches(IMAGES)).images)
    with task.logger.stage("export"):
        facts = export_network(task.run, net, images)
    add_results(task.run, {"export": facts})
    task.logger.say(
        f"export: {facts['same_predictions']} of {facts['images']} predictions equal in ONNX Runtime, "
        f"largest difference {facts['onnx_max_difference']:.1e}"
    )
