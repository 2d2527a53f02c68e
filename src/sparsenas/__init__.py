"""Finds the best network for your data under a hard budget, in one training run.

The names below are imported on first use, so that the command line answers at once.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
