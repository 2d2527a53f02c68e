"""The search methods, one file or folder per family: how architectures are proposed and learned."""

from sparsenas.methods.base import Final as Final
from sparsenas.methods.base import Method as Method
from sparsenas.methods.constrained_argmax import best_arch_within_budget as best_arch_within_budget
from sparsenas.methods.darts import Darts as Darts
from sparsenas.methods.darts import DartsFlags as DartsFlags
from sparsenas.methods.dso.flags import DsoFlags as DsoFlags
from sparsenas.methods.dso.method import Dso as Dso
from sparsenas.methods.gdas import Gdas as Gdas
from sparsenas.methods.gdas import GdasFlags as GdasFlags
from sparsenas.methods.ista.flags import IstaFlags as IstaFlags
from sparsenas.methods.ista.flags import OneStageFlags as OneStageFlags
from sparsenas.methods.ista.method import Ista as Ista
from sparsenas.methods.ista.method import IstaOneStage as IstaOneStage
from sparsenas.methods.sensitivity import Sensitivity as Sensitivity
from sparsenas.methods.sensitivity import SensitivityFlags as SensitivityFlags
from sparsenas.methods.spos.flags import RandomFlags as RandomFlags
from sparsenas.methods.spos.flags import SposFlags as SposFlags
from sparsenas.methods.spos.method import Random as Random
from sparsenas.methods.spos.method import Spos as Spos
from sparsenas.searching.evolution import Score as Score
from sparsenas.searching.evolution import Search as Search
from sparsenas.searching.evolution import SearchProblem as SearchProblem

METHODS: dict[str, type[Method]] = {
    "spos": Spos,
    "random": Random,
    "sensitivity": Sensitivity,
    "ista": Ista,
    "ista_one_stage": IstaOneStage,
    "dso": Dso,
    "darts": Darts,
    "gdas": Gdas,
}
"""The methods that the command line knows by name."""
