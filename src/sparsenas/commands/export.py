"""``sparsenas export``: ONNX and torch.export files of the found network, checked on real images."""

from __future__ import annotations

from pathlib import Path

import torch

from sparsenas.errors import check_extra
from sparsenas.job.folder import open_folder, open_task
from sparsenas.job.stages.export import export_stage
from sparsenas.rundir.lock import locked


def export(run: Path, trust_plugins: list[str] | None = None) -> None:
    """Writes net.pt2 (torch.export) and net.onnx, which run where sparsenas is not installed.

    Both are checked against the network on real images.

    Args:
        run: run folder with a trained network.
        trust_plugins: plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable.
    """
    check_extra("onnx", "export")
    with locked(open_folder(run)):
        opened = open_task(run, torch.device("cpu"), trust_plugins or [])
        export_stage(opened.run, opened.task)
