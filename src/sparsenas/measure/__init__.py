"""Taking the time of layers and whole networks on this device.

What is measured (``Engine``), how it is repeated (``Timer``) and what is kept (``costs.latency.LatencyTable``) know
nothing of each other.
"""

from sparsenas.measure.build import Checked as Checked
from sparsenas.measure.build import check as check
from sparsenas.measure.build import fill as fill
from sparsenas.measure.build import layers_of as layers_of
from sparsenas.measure.build import measure_network as measure_network
from sparsenas.measure.build import missing as missing
from sparsenas.measure.build import some_archs as some_archs
from sparsenas.measure.build import verdict as verdict
from sparsenas.measure.engines import ENGINES as ENGINES
from sparsenas.measure.engines import Engine as Engine
from sparsenas.measure.engines import device_name as device_name
from sparsenas.measure.engines import using_threads as using_threads
from sparsenas.measure.files import open_table as open_table
from sparsenas.measure.files import read_table as read_table
from sparsenas.measure.files import write_table as write_table
from sparsenas.measure.timer import Timer as Timer
