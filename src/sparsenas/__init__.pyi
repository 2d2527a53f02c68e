from .core.arch import Arch as Arch
from .core.canonical import canonicalize as canonicalize
from .core.choice import Choice as Choice
from .core.dag import Dag as Dag
from .core.depth import OptionalBlock as OptionalBlock
from .core.derive import derive as derive
from .core.elastic import Expansion as Expansion
from .core.elastic import SliceBatchNorm2d as SliceBatchNorm2d
from .core.elastic import SliceConv2d as SliceConv2d
from .core.elastic import SliceLinear as SliceLinear
from .core.elastic import Width as Width
from .core.elastic_tokens import SliceLayerNorm as SliceLayerNorm
from .core.elastic_tokens import SliceTokens as SliceTokens
from .core.gate import Gate as Gate
from .core.gate import choices as choices
from .core.gate import set_gates as set_gates
from .core.join import Join as Join
from .core.quant_choice import Bits as Bits
from .core.quant_choice import QuantConv2d as QuantConv2d
from .core.quant_choice import QuantLinear as QuantLinear
from .costs import Budget as Budget
from .costs import CostTable as CostTable
from .costs import trace as trace
from .data import Data as Data
from .data import Split as Split
from .data import as_data as as_data
from .errors import UserError as UserError
from .job.api.evolve import evolve as evolve
from .job.api.found import Found as Found
from .job.api.functions import compare as compare
from .job.api.functions import export as export
from .job.api.functions import publish as publish
from .job.api.functions import report as report
from .job.api.functions import retrain as retrain
from .job.api.functions import run as run
from .job.api.functions import search as search
from .job.api.loop import method as method
from .job.api.loop import step as step
from .job.api.profile import profile as profile
from .job.trained import load as load
from .methods import Method as Method
from .objectives import Objective as Objective
from .opening.opening import open as open
from .searching.config import Scoring as Scoring
from .training.recipe import Recipe as Recipe

__version__: str

__all__ = [
    "Arch",
    "Bits",
    "Budget",
    "Choice",
    "CostTable",
    "Dag",
    "Data",
    "Expansion",
    "Found",
    "Gate",
    "Join",
    "Method",
    "Objective",
    "OptionalBlock",
    "QuantConv2d",
    "QuantLinear",
    "Recipe",
    "Scoring",
    "SliceBatchNorm2d",
    "SliceConv2d",
    "SliceLayerNorm",
    "SliceLinear",
    "SliceTokens",
    "Split",
    "UserError",
    "Width",
    "as_data",
    "canonicalize",
    "choices",
    "compare",
    "derive",
    "evolve",
    "export",
    "load",
    "method",
    "open",
    "profile",
    "publish",
    "report",
    "retrain",
    "run",
    "search",
    "set_gates",
    "step",
    "trace",
]
