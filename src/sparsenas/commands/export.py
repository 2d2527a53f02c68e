"""``sparsenas export``: ONNX and torch.export files of the found network, checked on real images."""

from __future__ import annotations

from pathlib import Path

from sparsenas.errors import check_extra
from sparsenas.job.flag_groups import HERE, DataPlace
from sparsenas.job.folder import open_folder
from sparsenas.job.stages.export import export_stage
from sparsenas.job.stand_in import open_with_or_without_data
from sparsenas.rundir.lock import locked


def export(run: Path, trust_plugins: list[str] | None = None, data: DataPlace = HERE) -> None:
    """Writes net.pt2 (torch.export) and net.onnx, which run where sparsenas is not installed.

    Both are checked against the network on real images.

    Args:
        run: run folder with a trained network.
        trust_plugins: plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable.
        data: where the data of the run are now.
    """
    check_extra("onnx", "export")
    with locked(open_folder(run)):
        opened = open_with_or_without_data(run, trust_plugins or [], data)
        export_stage(opened.run, opened.task)
