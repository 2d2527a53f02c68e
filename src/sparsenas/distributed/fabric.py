"""The devices and processes of a job, by Lightning Fabric."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import distributed as dist

from sparsenas.errors import UserError, first_line
from sparsenas.nn.malloc import keep_heap

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Device:
    """The flags of Lightning Fabric."""

    accelerator: str = "auto"
    devices: str = "1"
    num_nodes: int = 1
    precision: str = "32-true"
    threads: int = 0

    def fabric(self) -> Fabric:
        """Starts Fabric and the other processes, unless ``torchrun`` has started them.

        Raises ``UserError`` when the machine has no such device.
        """
        from lightning_fabric import Fabric

        from sparsenas.distributed.replicas import Replicas

        keep_heap()
        if self.threads > 0:
            torch.set_num_threads(self.threads)
        devices: int | str = int(self.devices) if self.devices.lstrip("-").isdigit() else self.devices
        nodes = self.num_nodes
        if dist.is_torchelastic_launched():
            devices = int(os.environ["LOCAL_WORLD_SIZE"])
            nodes = int(os.environ["WORLD_SIZE"]) // devices
        alone = devices in (1, "1", "auto") and nodes == 1
        try:
            fabric = Fabric(
                accelerator=self.accelerator,
                strategy="auto" if alone else Replicas(),
                devices=devices,
                num_nodes=nodes,
                precision=self.precision,  # type: ignore[arg-type]
            )
            fabric.launch()
        except (ValueError, RuntimeError, TypeError) as error:
            raise UserError(
                f"--accelerator {self.accelerator} --devices {self.devices}: {first_line(error)}"
            ) from error
        return fabric
