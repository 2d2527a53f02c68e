from .core.arch import Arch as Arch
from .core.canonical import canonicalize as canonicalize
from .core.choice import Choice as Choice
from .core.dag import Dag as Dag
from .core.derive import derive as derive
from .core.elastic import SliceBatchNorm2d as SliceBatchNorm2d
from .core.elastic import SliceConv2d as SliceConv2d
from .core.elastic import SliceLinear as SliceLinear
from .core.elastic import Width as Width
from .core.gate import Gate as Gate
from .core.gate import choices as choices
from .core.gate import set_gates as set_gates
from .core.join import Join as Join
from .costs import Budget as Budget
from .costs import CostTable as CostTable
from .costs import trace as trace
from .job.trained import load as load
from .methods import Method as Method

__version__: str

__all__ = [
    "Arch",
    "Budget",
    "Choice",
    "CostTable",
    "Dag",
    "Gate",
    "Join",
    "Method",
    "SliceBatchNorm2d",
    "SliceConv2d",
    "SliceLinear",
    "Width",
    "choices",
    "derive",
    "load",
    "set_gates",
    "canonicalize",
    "trace",
]
