"""The public names, imported on first use.

sparsenas finds the best network for your data under a hard budget, in one training run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
