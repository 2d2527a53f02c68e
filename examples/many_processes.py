"""Several processes on one machine: the same job, shared among them. On GPUs: ``accelerator="cuda", devices="4"``.

The processes import this file again, so the call stands under ``__main__``. Several machines: docs/scaling.md.
"""

from typing import Any

import sparsenas


def main(**changes: Any) -> sparsenas.Found:
    """Searches, retrains, exports and reports; ``changes`` replace or add arguments of ``sparsenas.run``."""
    arguments: dict[str, Any] = {
        "space": {"name": "tiny", "width": 8},
        "data": "digits",
        "budget": "flops<=40e3",
        "search": {"epochs": 40, "batch": 64},  # the batch of all processes together
        "retrain": {"epochs": 20},
        "score": {"by": "loss"},
        "baselines": 3,
        "accelerator": "cpu",
        "devices": "2",
        "threads": 1,
        "resume": True,
        "out": "runs/many_processes",
    }
    return sparsenas.run(**{**arguments, **changes})


if __name__ == "__main__":
    print(main().test)
