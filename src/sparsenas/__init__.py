"""The public names, imported on first use.

sparsenas finds the best network for your data under a hard budget, in one training run.
"""

from typing import Any

import lazy_loader

_lazy, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("sparsenas")
    return _lazy(name)
