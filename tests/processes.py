"""The command line in real processes that can be killed: started anew, or forked from one that has imported PyTorch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

Program = Callable[[Sequence[str]], int]
"""Takes the words of a command line, returns the exit code."""
PATIENCE = 300
"""Seconds that no process of the tests needs."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.preloaded"])


class Running(ABC):
    """A process in a session of its own, so that it can be killed with all of its children; a file has its output."""

    def __init__(self, pid: int, output: Path) -> None:
        self.pid, self.output = pid, output

    @abstractmethod
    def poll(self, patience: float = 0) -> int | None:
        """The exit code, after waiting for it so many seconds; ``None`` while it runs."""

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)
        self.poll(PATIENCE)

    def rest(self) -> tuple[int, str]:
        """The exit code and all that it printed; a process that hangs is killed, and that is a failure."""
        code = self.poll(PATIENCE)
        if code is None:
            self.kill()
            pytest.fail(f"still running after {PATIENCE} s: {self.output.read_text()}")
        return code, self.output.read_text()


class Launched(Running):
    """A new process, as a shell starts it; what it starts itself is in its session too."""

    def __init__(self, words: Sequence[str], output: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                words, stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        super().__init__(self.process.pid, output)

    def poll(self, patience: float = 0) -> int | None:
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            return None


class Forked(Running):
    """``sparsenas`` in a process that is ready at once, for PyTorch is imported already; or what starts it."""

    def __init__(self, words: Sequence[str], output: Path, program: Program | None = None) -> None:
        output.touch()
        arguments = program or sparsenas, list(words), str(output)
        self.process: ForkServerProcess = FORKS.Process(target=_main, args=arguments)
        self.process.start()
        assert self.process.pid is not None
        super().__init__(self.process.pid, output)
        while self.process.exitcode is None and not self._leads_a_session():
            time.sleep(0.001)

    def poll(self, patience: float = 0) -> int | None:
        self.process.join(patience)
        return self.process.exitcode

    def _leads_a_session(self) -> bool:
        try:
            return os.getsid(self.pid) == self.pid
        except ProcessLookupError:
            return False


def _main(program: Program, words: list[str], output: str) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background of a shell
    file = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.exit(program(words))


def sparsenas(words: Sequence[str]) -> int:
    """The command line."""
    import torch

    from sparsenas.__main__ import main

    torch.set_num_threads(1)
    return main(words)


def torchrun(words: Sequence[str]) -> int:
    """What torchrun does for two processes, which are forked; one that is killed is restarted with the other one."""
    from torch.distributed.launcher.api import elastic_launch
    from torch.distributed.run import config_from_args, parse_args

    flags = (
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
        "--rdzv-id=tests",
        "--local-addr=127.0.0.1",
        "--nproc-per-node=2",
        "--max-restarts=2",
        "-m",
        "sparsenas",
    )
    config = config_from_args(parse_args(flags))[0]
    config.start_method = "fork"
    ended = elastic_launch(config, sparsenas)(words)
    return max(ended.values())
