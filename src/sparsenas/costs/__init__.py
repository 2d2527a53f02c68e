"""The costs of an architecture and the budgets on them."""

from sparsenas.costs.budget import Budget as Budget
from sparsenas.costs.budget import parse_budgets as parse_budgets
from sparsenas.costs.constraints import Limits as Limits
from sparsenas.costs.layer import COSTS as COSTS
from sparsenas.costs.layer import ON_REQUEST as ON_REQUEST
from sparsenas.costs.layer import Cost as Cost
from sparsenas.costs.layer import Layer as Layer
from sparsenas.costs.layer import Shape as Shape
from sparsenas.costs.layer import total as total
from sparsenas.costs.table import CostTable as CostTable
from sparsenas.costs.trace import trace as trace
