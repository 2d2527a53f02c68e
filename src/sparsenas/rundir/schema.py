"""What the JSON files of a run folder hold, as far as commands rely on it."""

from __future__ import annotations

from collections.abc import Mapping

from sparsenas.parsing import Shape

_MARKS: dict[str, type] = {"accuracy": float, "loss": float}
_SCORED: dict[str, type] = {"arch": dict, **_MARKS}
_TRAINED: dict[str, type] = {"text": str, **_MARKS}

FORMATS: Mapping[str, Shape] = {
    "best.json": {
        "arch": dict,
        "text": str,
        "costs": {str: float},
        "val?": _MARKS,
        "weights?": {str: [float]},
    },
    "choices.json": {"choices": [{"name": str, "options": [str], "least": int, "most": int}]},
    "net.json": {"one_stage?": bool, "target?": dict, "scale_to?": [str]},
    "results.json": {
        "inherited?": _MARKS,
        "retrained?": {"one_stage?": bool, **_MARKS},
        "baselines?": [_TRAINED],
        "compared?": [{"name": str, **_TRAINED}],
        "latency?": {"measured_ms?": float, "spread?": float},
    },
    "archs.jsonl": _SCORED,
    "random.jsonl": _SCORED,
    "rank.jsonl": _SCORED,
    "log.jsonl": {"epoch?": int},
}
"""By file; for JSONL of a line. Other files hold objects."""
