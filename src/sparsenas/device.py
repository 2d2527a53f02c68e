"""Where to compute."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from lightning_fabric import Fabric

from sparsenas.errors import UserError, first_line
from sparsenas.heap import keep_heap


@dataclass(frozen=True)
class Device:
    """Where to compute; the flags of Lightning Fabric."""

    accelerator: str = "auto"
    devices: str = "1"
    num_nodes: int = 1
    precision: str = "32-true"
    threads: int = 0

    def fabric(self) -> Fabric:
        """Starts Fabric. Raises ``UserError`` when the machine has no such device."""
        keep_heap()
        if self.threads > 0:
            torch.set_num_threads(self.threads)
        devices = int(self.devices) if self.devices.lstrip("-").isdigit() else self.devices
        try:
            fabric = Fabric(
                accelerator=self.accelerator,
                devices=devices,
                num_nodes=self.num_nodes,
                precision=self.precision,  # type: ignore[arg-type]
            )
            fabric.launch()
        except (ValueError, RuntimeError, TypeError) as error:
            raise UserError(
                f"--accelerator {self.accelerator} --devices {self.devices}: {first_line(error)}"
            ) from error
        return fabric
