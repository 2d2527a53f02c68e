"""Images to search on; every source gives one ``Data`` object."""

from collections.abc import Callable

from sparsenas.data.blend import Target as Target
from sparsenas.data.blend import blended as blended
from sparsenas.data.cifar import cifar10 as cifar10
from sparsenas.data.cifar import cifar100 as cifar100
from sparsenas.data.cutout import cutout as cutout
from sparsenas.data.data import Data as Data
from sparsenas.data.data import Images as Images
from sparsenas.data.data import Split as Split
from sparsenas.data.digits import digits as digits
from sparsenas.data.folder import imagefolder as imagefolder
from sparsenas.data.tables import parquet as parquet

DATA: dict[str, Callable[..., Data]] = {
    "digits": digits,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imagefolder": imagefolder,
    "parquet": parquet,
}
"""The data the command line knows by name."""
