"""What a task is: its loss, its metrics, and which metric is the score."""

from collections.abc import Callable

from sparsenas.objectives.classification import Classification as Classification
from sparsenas.objectives.classification import Multilabel as Multilabel
from sparsenas.objectives.custom import LossObjective as LossObjective
from sparsenas.objectives.custom import is_loss as is_loss
from sparsenas.objectives.objective import Metrics as Metrics
from sparsenas.objectives.objective import Objective as Objective
from sparsenas.objectives.regression import Regression as Regression
from sparsenas.objectives.segmentation import Segmentation as Segmentation

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "classification": Classification,
    "multilabel": Multilabel,
    "segmentation": Segmentation,
    "regression": Regression,
}
"""The objectives that the command line knows by name."""
