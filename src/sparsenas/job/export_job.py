"""The job of ``sparsenas export``: the files of a run's trained network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from sparsenas.errors import check_extra
from sparsenas.job.flag_groups import HERE, DataPlace
from sparsenas.job.folder import NONE, check_data, open_folder, open_task
from sparsenas.job.plugin import Plugin
from sparsenas.job.stages.export import export_stage
from sparsenas.job.stages.int8 import check_int8, int8_stage
from sparsenas.job.stand_in import open_with_or_without_data
from sparsenas.job.trained import trained
from sparsenas.rundir.lock import locked
from sparsenas.rundir.results import ExportCheck


def export_job(
    path: Path,
    trusted: Iterable[str] = (),
    place: DataPlace = HERE,
    objects: Mapping[str, Plugin] = NONE,
    int8: bool = False,
) -> ExportCheck:
    """Writes net.pt2 and net.onnx of a run's trained network and returns how far they are from it.

    With ``int8`` also net.int8.onnx, for which the data of the run must be there.

    Raises ``UserError``.
    """
    check_extra("onnx", "export")
    with locked(open_folder(path)):
        if not int8:
            opened = open_with_or_without_data(path, trusted, place, objects)
            return export_stage(opened.run, opened.task, trained(opened.run, opened.task))
        opened = open_task(path, torch.device("cpu"), trusted, place, objects=objects)
        run, task, flags = opened.run, opened.task, opened.flags
        check_data(run, task.data)
        check_int8(task, flags.score)
        check = export_stage(run, task, trained(run, task))
        int8_stage(run, task, flags.score)
        return check
