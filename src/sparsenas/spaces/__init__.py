"""The built-in search spaces; one file a family. Any other ``nn.Module`` with choices in it is a space as well."""

from collections.abc import Callable

from torch import nn

from sparsenas.spaces.nasbench_macro import nasbench_macro as nasbench_macro
from sparsenas.spaces.tiny import tiny as tiny

SPACES: dict[str, Callable[..., nn.Module]] = {"tiny": tiny, "nasbench_macro": nasbench_macro}
"""The spaces the command line knows by name."""
