"""Where to compute: how the processes of a job leave it."""

import subprocess
import sys
from pathlib import Path

JOB = """
import atexit

from torch import distributed as dist

from sparsenas.distributed.fabric import Device

atexit.register(lambda: print("left" if not dist.is_initialized() else "still there"))
Device("cpu", threads=1).fabric()
assert dist.get_world_size() == 2
"""


def test_processes_leave_one_another_before_python_ends(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(JOB)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", "--nproc-per-node=2")
    done = subprocess.run([sys.executable, *torchrun, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "".join(done.stdout.split()) == "left" * 2  # both may write at once
