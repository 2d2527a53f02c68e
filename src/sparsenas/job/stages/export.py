"""The export stage: net.pt2 and net.onnx."""

from __future__ import annotations

from sparsenas.exporting import export_network
from sparsenas.job.task import Task
from sparsenas.job.trained import trained
from sparsenas.nn.quantize import freeze_weights
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.results import ExportCheck, update_results

EXAMPLES = 64


def export_stage(run: Run, task: Task) -> ExportCheck:
    """Makes net.pt2 and net.onnx from net.pt; returns how far they are from it."""
    net = trained(run, task)
    freeze_weights(net)
    inputs = task.data.prepared(next(task.data.val.batches(EXAMPLES)).inputs)
    with RunLogger(run).stage("export"):
        check = export_network(run, net, inputs, task.objective)
    update_results(run, export=check)
    RunLogger(run).say(
        f"export: {check.same_predictions} of {check.examples} predictions equal in ONNX Runtime, "
        f"largest difference {check.onnx_max_difference:.1e}"
    )
    return check
