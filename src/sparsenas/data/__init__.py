"""From files, data sets and tensors to batches of examples.

Every source gives one ``Data`` object.
"""

from collections.abc import Callable

from sparsenas.data.dataset import Data as Data
from sparsenas.data.dataset import Examples as Examples
from sparsenas.data.dataset import Split as Split
from sparsenas.data.objects import as_data as as_data
from sparsenas.data.sources.cifar import cifar10 as cifar10
from sparsenas.data.sources.cifar import cifar100 as cifar100
from sparsenas.data.sources.digits import digits as digits
from sparsenas.data.sources.folder import imagefolder as imagefolder
from sparsenas.data.sources.tables import parquet as parquet
from sparsenas.data.transforms import Target as Target
from sparsenas.data.transforms import blended as blended
from sparsenas.data.transforms import cutout as cutout
from sparsenas.data.transforms import erased as erased
from sparsenas.data.transforms import rand_augment as rand_augment

DATA: dict[str, Callable[..., Data]] = {
    "digits": digits,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imagefolder": imagefolder,
    "parquet": parquet,
}
"""The data sets that the command line knows by name."""
