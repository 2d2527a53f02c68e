"""Handwritten digits with AdamW: the built-in space on built-in data, trained by another optimizer.

Measured with seed 0: test accuracy of 98.3 %; random networks of the same cost 95.3 %; 69 s of processor time.
"""

from typing import Any

import sparsenas

ADAMW = {"optimizer": "adamw", "lr": 0.005, "weight_decay": 0.02, "warmup": 2}


def main(**changes: Any) -> sparsenas.Found:
    """Searches, retrains, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    arguments: dict[str, Any] = {
        "space": {"name": "tiny", "width": 8},
        "data": "digits",
        "budget": "flops<=40e3",
        "search": {**ADAMW, "epochs": 40},
        "retrain": {**ADAMW, "epochs": 25},
        "score": {"by": "loss"},
        "baselines": 3,
        "threads": 1,
        "out": "runs/digits_adamw",
    }
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
