"""``sparsenas export``: ONNX and torch.export files of the found network, checked on real images."""

from __future__ import annotations

from pathlib import Path

import torch

from sparsenas.job.stages.export import export_stage
from sparsenas.job.task import open_task


def export(run: Path) -> None:
    """Writes net.pt2 (torch.export) and net.onnx, which run where sparsenas is not installed.

    Both are checked against the network on real images.

    Args:
        run: the run folder with a trained network.
    """
    task, _ = open_task(run, torch.device("cpu"))
    export_stage(task)
