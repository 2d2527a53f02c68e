"""The command line: finds the command, prints mistakes in one line, sets the exit code."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from sparsenas.errors import UserError

COMMANDS = {
    "run": "the whole job: search, retrain, evaluate, export and report in one run folder",
    "search": "train a supernet and search it under a budget",
    "evolve": "search a trained supernet again: another budget, or a whole Pareto front",
    "retrain": "train the found network from scratch or from inherited weights",
    "evaluate": "accuracy of the found network, its ONNX file or any architecture",
    "export": "ONNX and torch.export files with a parity check",
    "rank": "how well the supernet ranks architectures of known accuracy",
    "report": "one HTML file about a run",
    "latency": "measure a latency table of this device, for budgets in milliseconds",
    "cost": "flops, params, memory access and bitops of architectures",
    "spaces": "the built-in search spaces",
}
"""Each is the function of that name in ``sparsenas.commands.<name>``."""

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP}
"""What disks refuse, wherever it happens."""
INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM, as a scheduler sends it before it takes a machine away."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0 when done, 2 for a mistake of the user's, 130 or 143 when told to stop."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    try:
        with _stoppable():
            _run(words[0], words[1:])
    except UserError as error:
        print(f"sparsenas: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in DISK:
            raise
        print(f"sparsenas: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(
            "sparsenas: interrupted; what was done is kept: --resume continues a run, the same command a latency table",
            file=sys.stderr,
        )
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    return 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does; files are written whole or not at all, whenever it comes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(name: str, flags: Sequence[str]) -> None:
    if name not in COMMANDS:
        raise UserError(f"expected a command of {', '.join(COMMANDS)}, got {name!r}")
    command = getattr(importlib.import_module(f"sparsenas.commands.{name}"), name)
    from sparsenas.job.flags import parse

    command(**parse(command, flags))


def usage() -> str:
    """What ``--help`` prints."""
    lines = [f"  {name:<10} {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            "usage: sparsenas COMMAND [FLAGS]",
            "",
            "Finds the best network for your data under a hard budget, in one training run.",
            "",
            *lines,
            "",
            "sparsenas COMMAND --help explains the flags of a command. Try: sparsenas run --out runs/demo",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
