"""Messages of the command line in the words of Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from sparsenas.errors import UserError
from sparsenas.job.lookup import OBJECT

P = ParamSpec("P")
T = TypeVar("T")
OWN = re.compile(rf"\b{OBJECT}:(\w+)")
"""The name of an object that was given itself."""
TRUST = re.compile(r"--trust-plugins [\w.:]+(?: --trust-plugins [\w.:]+)*")
FLAG = re.compile(r"(?<![\w-])--([a-z][\w.-]*)")
COMMAND = re.compile(r"(`(?:sparsenas |--)[^`]*`)")
"""Words of the command line alone, which stay as they are."""


def in_python(function: Callable[P, T]) -> Callable[P, T]:
    """The function, whose errors name arguments where the command line has flags: ``search.lr`` for ``--search.lr``."""

    @wraps(function)
    def named(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise UserError(argument_names(str(error))) from error

    return named


def argument_names(message: str) -> str:
    """A message with arguments in place of flags, and the class of an object in place of its name."""
    message = TRUST.sub(lambda found: f"trust_plugins={found[0].replace('--trust-plugins', '').split()}", message)
    parts = [
        part if COMMAND.fullmatch(part) else FLAG.sub(lambda flag: flag[1].replace("-", "_"), part)
        for part in COMMAND.split(message)
    ]
    return OWN.sub(r"(\1)", "".join(parts))
