"""``sparsenas export``: ONNX and torch.export files of the found network, checked on real examples."""

from __future__ import annotations

from pathlib import Path

from sparsenas.job.export_job import export_job
from sparsenas.job.flag_groups import HERE, DataPlace


def export(run: Path, int8: bool = False, trust_plugins: list[str] | None = None, data: DataPlace = HERE) -> None:
    """Writes net.pt2 (torch.export) and net.onnx, which run where sparsenas is not installed.

    Both are checked against the network on real examples.

    Args:
        run: run folder with a trained network.
        int8: write net.int8.onnx as well, with 8-bit weights and activations, and compare test metrics and speed
            of both files.
        trust_plugins: plug-in named in the run folder whose code may be run, as package.module:callable. Repeatable.
        data: where the data of the run are now.
    """
    export_job(run, trust_plugins or [], data, int8=int8)
