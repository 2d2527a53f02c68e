"""The user's own code of a run: its names, and a checksum that shows whether a space has changed since a run began."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from sparsenas.job.flags.plugins import code_of
from sparsenas.job.flags.sources import GivenFlags
from sparsenas.job.lookup import own_code
from sparsenas.job.plugin import Plugin
from sparsenas.job.run_flags import SavedFlags
from sparsenas.spaces.open import imported, open_space


def own_code_of(config: Mapping[str, Any]) -> list[str]:
    """What a run with these flags calls that is neither built in nor installed, as package.module:callable."""
    return own_code(code_of(SavedFlags, GivenFlags(config)))


def code_checksum(space: Plugin, net: nn.Module) -> str:
    """The SHA-256 of the modules that the space and the layers of its network come from; comments do not count.

    The code of PyTorch and of this library is left out, except for the built-in space. Of a script that is run, and of
    a notebook, only the functions and classes themselves count. Code without a source counts as none.
    """
    make = space.callable("space")
    named = make if inspect.isroutine(make) or inspect.isclass(make) else type(make)
    opened = [imported(str(space.flags["net"]))] if make is open_space else []
    texts = {_source(thing) for thing in (named, *opened, *map(type, net.modules()))}
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()


def _source(thing: Callable[..., Any]) -> str:
    module = thing.__module__
    if module.partition(".")[0] == "torch" or (module.startswith("sparsenas.") and ".spaces." not in module):
        return ""
    try:
        text = inspect.getsource(thing if module == "__main__" else sys.modules[module])
        return ast.unparse(ast.parse(textwrap.dedent(text)))
    except (OSError, TypeError, SyntaxError, KeyError):
        return ""
