"""Settings for all tests: one thread a worker, properties that do not fail on a slow machine, and real runs."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from tests.real_runs import RealRun, make

torch.set_num_threads(1)
settings.register_profile(
    "default", max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", parent=settings.get_profile("default"), max_examples=1000, derandomize=False)
settings.load_profile("default")


@pytest.fixture(scope="session")
def real_run(tmp_path_factory: pytest.TempPathFactory) -> RealRun:
    """Gives small run folders that the commands have made, by name; each is made once."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str) -> Path:
        if not (folder / name).exists():
            make(name, folder / name, run)
        return folder / name

    return run
