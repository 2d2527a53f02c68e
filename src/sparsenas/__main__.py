"""The command line: finds the command, prints mistakes in one line, sets the exit code."""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from types import FrameType

from sparsenas.errors import PACKAGES, UserError

COMMANDS = {
    "run": "whole job: search, retrain, evaluate, export and report in one run folder",
    "search": "train a supernet and search it within a budget",
    "evolve": "search a trained supernet again: another budget, or a whole Pareto front",
    "retrain": "train the found network from scratch or from inherited weights",
    "evaluate": "metrics of the found network, its ONNX file or any architecture",
    "export": "ONNX and torch.export files with a parity check",
    "rank": "how well the supernet ranks architectures of known accuracy",
    "report": "one HTML file about a run",
    "compare": "one HTML file about several runs, side by side",
    "publish": "a model folder for sharing the found network, with a model card",
    "latency": "latency table of this device, for budgets in milliseconds",
    "cost": "multiply-adds, parameters, memory access and bit operations of architectures",
    "spaces": "built-in search spaces",
    "profile": "decisions, range of costs and budgets of a space, before any training",
}
"""Each is the function of that name in ``sparsenas.commands.<name>``."""
WHOLE = "--help-all"
HELP, VERSION = {"-h", "--help", WHOLE}, {"-V", "--version"}
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP}
"""Errors of disks, wherever they happen."""
INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM, which schedulers send before they take a machine away."""
PIPE_CLOSED = 141
"""Exit code after the reader of the output has gone, as in ``sparsenas --help | head -1``."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns 0 when done, 2 for a mistake of the user's, 130, 141 or 143 when told to stop."""
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # the process ends with the command; looking through all of PyTorch for cycles then takes seconds
        atexit.register(gc.freeze)
    try:
        with _stoppable():
            _run(words)
            sys.stdout.flush()
    except UserError as error:
        print(f"sparsenas: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in PACKAGES:
            raise
        print(f"sparsenas: needs {package}, not installed: pip install {PACKAGES[package]}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains when it closes standard output
        return PIPE_CLOSED
    except OSError as error:
        if error.errno not in DISK:
            raise
        print(f"sparsenas: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("; ".join(["sparsenas: interrupted", *map(str, stop.args)]), file=sys.stderr)
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


def _run(words: Sequence[str]) -> None:
    name, flags = (words[0], words[1:]) if words else ("--help", [])
    if name in HELP:
        print(usage())
    elif name in VERSION:
        from importlib.metadata import version

        print(f"sparsenas {version('sparsenas')}")
    elif name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"expected a command of {', '.join(COMMANDS)}, got {name!r}{meant}")
    else:
        _command(name, flags)


def _command(name: str, flags: Sequence[str]) -> None:
    command = _function(name)
    if HELP & set(flags):
        from sparsenas.job.flags.help import help_text

        print(help_text(command, [word for word in flags if word not in HELP], whole=WHOLE in flags))
    else:
        from sparsenas.job.flags.elsewhere import known_elsewhere, left_out
        from sparsenas.job.flags.flag import UnknownFlag
        from sparsenas.job.flags.parse import parse

        def foreign(file: str, names: Sequence[str]) -> list[str]:
            return left_out(_functions(), name, file, names, _say)

        try:
            given = parse(command, flags, foreign)
        except UserError as error:
            if not isinstance(error.about, UnknownFlag):
                raise
            raise known_elsewhere(_functions(), name, error.about, error) from error
        command(**given)


def _say(line: str) -> None:
    print(f"sparsenas: {line}", file=sys.stderr)


def _functions() -> dict[str, Callable[..., object]]:
    return {name: _function(name) for name in COMMANDS}


def _function(command: str) -> Callable[..., object]:
    return getattr(importlib.import_module(f"sparsenas.commands.{command}"), command)  # type: ignore[no-any-return]


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
            "sparsenas COMMAND --help lists the flags of a command, --help-all explains all of them.",
            "sparsenas --version prints the version.",
            "Try: sparsenas run --out runs/demo",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
