from .choice import Arch as Arch
from .choice import Choice as Choice
from .choice import Gate as Gate
from .choice import choices as choices
from .choice import set_gates as set_gates
from .costs import Budget as Budget
from .costs import CostTable as CostTable
from .costs import trace as trace
from .derive import derive as derive
from .derive import tidy as tidy
from .join import Dag as Dag
from .join import Join as Join
from .methods import Method as Method
from .task import load as load
from .width import SliceBatchNorm2d as SliceBatchNorm2d
from .width import SliceConv2d as SliceConv2d
from .width import SliceLinear as SliceLinear
from .width import Width as Width

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
    "tidy",
    "trace",
]
