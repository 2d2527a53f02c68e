"""Where to compute."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from sparsenas.errors import UserError, first_line
from sparsenas.nn.malloc import keep_heap


class Replicas(DDPStrategy):
    """Lightning's data-parallel processes, but the training loop averages the gradients.

    It knows which layers a path has run, and these change from step to step and grow fewer while a method prunes;
    ``DistributedDataParallel`` exchanges the gradients of all layers that there were at the start.
    """

    def setup_environment(self) -> None:
        """Joins the other processes, those of this attempt only.

        The store in which the processes of ``torchrun`` find one another outlives them, and with it the addresses of an
        attempt that failed. On one machine all count their attempts alike; on several they do not, and PyTorch's own
        remedy, TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1, is needed (docs/scaling.md).
        """
        first = not dist.is_initialized()
        if first and dist.is_torchelastic_launched() and os.environ["GROUP_WORLD_SIZE"] == "1":
            store, rank, world = next(rendezvous("env://"))
            attempt = PrefixStore(f"{os.environ['TORCHELASTIC_RESTART_COUNT']} restarts", store)
            backend = dist.Backend.default_device_backend_map[self.root_device.type]
            dist.init_process_group(backend, store=attempt, rank=rank, world_size=world)
        super().setup_environment()
        if first and dist.get_backend() == "gloo":
            # Gloo's threads may still hold tensors of Python's; one that lets go of them while Python ends aborts it.
            atexit.register(dist.destroy_process_group)

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        """The module as it is."""
        return module


@dataclass(frozen=True)
class Device:
    """Where to compute; the flags of Lightning Fabric."""

    accelerator: str = "auto"
    devices: str = "1"
    num_nodes: int = 1
    precision: str = "32-true"
    threads: int = 0

    def fabric(self) -> Fabric:
        """Starts Fabric, and the other processes of the job. Raises ``UserError`` when the machine has no such device.

        Under ``torchrun`` the processes are those that it has started.
        """
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
