"""Images to search on; every source gives one ``Data`` object."""

from collections.abc import Callable

from sparsenas.data.cifar import cifar10 as cifar10
from sparsenas.data.cutout import cutout as cutout
from sparsenas.data.data import Data as Data
from sparsenas.data.data import Split as Split
from sparsenas.data.digits import digits as digits

DATA: dict[str, Callable[..., Data]] = {"digits": digits, "cifar10": cifar10}
"""The data the command line knows by name."""
