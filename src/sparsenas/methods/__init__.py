"""How answers are proposed and learned; one file a family."""

from sparsenas.methods.dso import Dso as Dso
from sparsenas.methods.ista import Ista as Ista
from sparsenas.methods.ista import IstaOneStage as IstaOneStage
from sparsenas.methods.method import Method as Method
from sparsenas.methods.spos import Random as Random
from sparsenas.methods.spos import Spos as Spos

METHODS: dict[str, type[Method]] = {
    "Spos": Spos,
    "Random": Random,
    "Ista": Ista,
    "IstaOneStage": IstaOneStage,
    "Dso": Dso,
}
"""The methods the command line knows by name."""
