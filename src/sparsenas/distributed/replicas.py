"""The processes of a job, which train one network each; kept apart since Lightning Fabric takes long to import."""

from __future__ import annotations

import atexit
import os

from lightning_fabric.strategies.ddp import DDPStrategy
from torch import distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous


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
