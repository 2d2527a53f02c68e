"""What a search has found, read from its run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from sparsenas.core.arch import Arch
from sparsenas.job.api.objects import Objects
from sparsenas.job.api.words import in_python
from sparsenas.job.folder import open_folder
from sparsenas.job.stages.evaluate import recalibrated
from sparsenas.job.stand_in import open_with_or_without_data
from sparsenas.job.trained import found, trained
from sparsenas.objectives import Metrics
from sparsenas.rundir.networks import NET
from sparsenas.rundir.records import Best, SpaceInfo
from sparsenas.rundir.results import Results, results


@dataclass(frozen=True)
class Found:
    """The result of a search: an architecture, its costs, its metrics and its network."""

    path: Path
    """The run folder."""
    objects: Objects = field(default_factory=dict, repr=False)
    """The space, the data and the objective, as they were given."""
    trusted: tuple[str, ...] = field(default=(), repr=False)
    """Names of plug-ins in the run folder that may be called."""

    @property
    def arch(self) -> Arch:
        """The found architecture. Raises ``UserError`` while there is none."""
        run = open_folder(self.path)
        choices = {choice.name: choice for choice in run.read(SpaceInfo, "search").choices}
        return found(run, choices)

    @property
    def costs(self) -> Mapping[str, float]:
        """Its exact costs by name, such as ``flops`` (multiply-adds) and ``params``."""
        return open_folder(self.path).read(Best, "search").costs

    @property
    def val(self) -> Metrics | None:
        """Its metrics on validation examples with inherited weights; ``None`` where the method trains on them."""
        return open_folder(self.path).read(Best, "search").val

    @property
    def results(self) -> Results:
        """Everything measured on test examples: the found network and those it is compared with."""
        return results(open_folder(self.path))

    @property
    def test(self) -> Metrics | None:
        """The metrics of the trained network on test examples; ``None`` until it was trained and tested."""
        tested = self.results.retrained
        return None if tested is None else tested.metrics

    @in_python
    def network(self) -> nn.Module:
        """The found network as a plain module in eval mode, on the CPU: trained, or with inherited weights until then.

        Raises ``UserError``.
        """
        opened = open_with_or_without_data(self.path, self.trusted, objects=self.objects)
        if opened.run.has(NET):
            return trained(opened.run, opened.task).eval()
        return recalibrated(opened.run, opened.task, self.arch, opened.flags.score)
