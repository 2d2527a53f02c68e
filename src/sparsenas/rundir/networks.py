"""The networks of a run folder: the supernet, the trained network and how it was made, the exported files."""

from __future__ import annotations

from torch import nn

from sparsenas.errors import UserError
from sparsenas.rundir.files import write_together
from sparsenas.rundir.folder import Run
from sparsenas.rundir.logger import RunLogger
from sparsenas.rundir.records import Provenance
from sparsenas.rundir.tensors import as_safetensors, as_torch

NET, SUPERNET, SCRIPT = "net.pt", "supernet.pt", "net.py"
PT2, ONNX, INT8 = "net.pt2", "net.onnx", "net.int8.onnx"
SAFETENSORS = "net.safetensors"


def save_net(run: Run, net: nn.Module, how: Provenance) -> None:
    """Writes ``net.pt`` and ``net.safetensors``, and before them ``net.json`` unless plain retraining made the network.

    Weights that safetensors do not know are in ``net.pt`` alone, and a line says so.
    """
    if how != Provenance():
        run.write(how)
    else:
        run.remove(Provenance.FILE)
    state = net.state_dict()
    files = {run / NET: as_torch(state)}
    try:
        files = {run / SAFETENSORS: as_safetensors(state), **files}
    except UserError as error:
        run.remove(SAFETENSORS)
        RunLogger(run).say(f"{SAFETENSORS} is not written: {error}")
    run.do(lambda: write_together(files))


def provenance(run: Run) -> Provenance:
    """How ``net.pt`` was made. Raises ``UserError`` where ``net.json`` is damaged."""
    return run.find(Provenance) or Provenance()
