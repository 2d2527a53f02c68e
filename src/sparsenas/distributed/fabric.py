"""The devices and processes of a job, by Lightning Fabric."""

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
    """Lightning's data-parallel processes without ``DistributedDataParallel``: the training loop averages gradients.

    The layers that run change from step to step and become fewer when a method prunes. ``DistributedDataParallel``
    would exchange the gradients of all layers that existed at the start.
    """

    def setup_environment(self) -> None:
        """Joins the other processes of this attempt.

        The store through which the processes of ``torchrun`` find each other outlives them, and keeps the addresses of
        a failed attempt. On one machine all processes have the same number of restarts, which tells attempts apart. On
        several machines they may not, and PyTorch's TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 is needed (docs/scaling.md).
        """
        first = not dist.is_initialized()
        if first and dist.is_torchelastic_launched() and os.environ["GROUP_WORLD_SIZE"] == "1":
            store, rank, world = next(rendezvous("env://"))
            attempt = PrefixStore(f"{os.environ['TORCHELASTIC_RESTART_COUNT']} restarts", store)
            backend = dist.Backend.default_device_backend_map[self.root_device.type]
            dist.init_process_group(backend, store=attempt, rank=rank, world_size=world)
        super().setup_environment()
        if first and dist.get_backend() == "gloo":
            # A thread of Gloo that frees a Python tensor while Python shuts down would abort the process.
            atexit.register(dist.destroy_process_group)

    def setup_module(self, module: nn.Module) -> nn.Module:  # type: ignore[override]
        """The module as it is."""
        return module


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
