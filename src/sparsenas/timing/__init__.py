"""Measures the latency of layers and of whole networks on this device.

``Engine`` runs a layer, ``Timer`` repeats it, ``costs.latency.LatencyTable`` keeps the result. None knows the others.
"""

from sparsenas.timing.build import Checked as Checked
from sparsenas.timing.build import check as check
from sparsenas.timing.build import fill as fill
from sparsenas.timing.build import layers_of as layers_of
from sparsenas.timing.build import measure_network as measure_network
from sparsenas.timing.build import missing as missing
from sparsenas.timing.build import plain_network as plain_network
from sparsenas.timing.build import some_archs as some_archs
from sparsenas.timing.build import verdict as verdict
from sparsenas.timing.engines import ENGINES as ENGINES
from sparsenas.timing.engines import Engine as Engine
from sparsenas.timing.engines import OnnxEngine as OnnxEngine
from sparsenas.timing.engines import device_name as device_name
from sparsenas.timing.engines import using_threads as using_threads
from sparsenas.timing.files import open_table as open_table
from sparsenas.timing.files import read_table as read_table
from sparsenas.timing.files import write_table as write_table
from sparsenas.timing.onnx_layers import Model as Model
from sparsenas.timing.timer import Timer as Timer
