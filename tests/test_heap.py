"""Memory that was freed stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from sparsenas.nn.malloc import keep_heap

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        torch.ones(4_000_000)  # 16 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
given_back = faults()
kept = keep_heap()
faults()
print(kept, given_back, faults())
"""


def test_a_kept_heap_costs_no_page_faults() -> None:
    printed = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True).stdout
    kept, before, after = printed.split()
    if platform.libc_ver()[0] != "glibc":
        assert kept == "False"
        pytest.skip("only glibc's heap can be kept")
    assert kept == "True"
    assert int(after) < 100 < int(before)  # pages may be of 4 kB or larger
