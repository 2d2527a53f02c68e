"""The export stage: net.pt2 and net.onnx; net.py where a plain network was opened."""

from __future__ import annotations

from typing import Any

from torch import nn

from sparsenas.core.gate import set_gates
from sparsenas.data.preprocessing import preparation
from sparsenas.exporting import export_network
from sparsenas.job.task import Task
from sparsenas.job.trained import found
from sparsenas.nn.quantize import freeze_weights
from sparsenas.opening.opened import OpenedNetwork
from sparsenas.opening.script import SAVED, WeightsFile, script
from sparsenas.rundir.files import write_atomic
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.networks import ONNX, SCRIPT
from sparsenas.rundir.records import DataInfo
from sparsenas.rundir.results import ExportCheck, results, update_results

EXAMPLES = 64


def export_stage(run: Run, task: Task, net: nn.Module) -> ExportCheck:
    """Makes net.pt2 and net.onnx from the trained network; returns how far they are from it. Raises ``UserError``."""
    results(run)  # damaged ones are told before the work
    _write_script(run, task)
    freeze_weights(net)
    inputs = task.data.prepared(next(task.data.val.batches(EXAMPLES)).inputs)
    with RunLogger(run).stage("export"):
        check = export_network(run, net, inputs, task.objective, _facts(run, task))
    update_results(run, export=check)
    RunLogger(run).say(
        f"export: {check.same_predictions} of {check.examples} predictions equal in ONNX Runtime, "
        f"largest difference {check.onnx_max_difference:.1e}"
    )
    if check.onnx_bytes and check.onnx_bytes_as_floats and check.onnx_bytes < check.onnx_bytes_as_floats:
        sizes = f"{check.onnx_bytes:,} bytes, {check.onnx_bytes_as_floats:,} as floats"
        RunLogger(run).say(f"export: {ONNX} has the weights of searched bit widths as integers: {sizes}")
    return check


def _facts(run: Run, task: Task) -> dict[str, Any]:
    """What a program has to know that runs net.onnx: the classes, and how an image becomes the network's input."""
    info = run.find(DataInfo)
    known = {} if info is None else {"classes": info.classes or None, "input_shape": info.shape}
    return {**known, **preparation(task.data)}


def _write_script(run: Run, task: Task) -> None:
    """Makes net.py, by which the user's own network takes the weights of net.pt."""
    if (text := script_of(run, task)) is not None:
        run.do(lambda: write_atomic(run / SCRIPT, lambda file: file.write(text.encode())))


def script_of(run: Run, task: Task, source: WeightsFile = SAVED) -> str | None:
    """The text of net.py, which reads the weights as ``source`` says; ``None`` unless a plain network was opened."""
    net = task.network("script", task.target)
    if not isinstance(net, OpenedNetwork):
        return None
    set_gates(net, found(run, task.choices).gates())
    return script(net, source)
