"""The networks of a run folder: the supernet, the trained network and how it was made, the exported files."""

from __future__ import annotations

from torch import nn

from sparsenas.rundir.folder import Run
from sparsenas.rundir.records import Provenance

NET, SUPERNET, PT2, ONNX, SCRIPT = "net.pt", "supernet.pt", "net.pt2", "net.onnx", "net.py"


def save_net(run: Run, net: nn.Module, how: Provenance) -> None:
    """Writes ``net.pt``, and before it ``net.json`` where the network was not made by plain retraining."""
    if how != Provenance():
        run.write(how)
    else:
        run.remove(Provenance.FILE)
    run.save(NET, net.state_dict())


def provenance(run: Run) -> Provenance:
    """How ``net.pt`` was made. Raises ``UserError`` where ``net.json`` is damaged."""
    return run.find(Provenance) or Provenance()
