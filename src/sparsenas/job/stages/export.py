"""The export stage: net.pt2 and net.onnx."""

from __future__ import annotations

from sparsenas.exporting import export_network
from sparsenas.job.task import Task, trained
from sparsenas.nn.quantize import freeze_weights
from sparsenas.rundir.results import add_results

IMAGES = 64


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
