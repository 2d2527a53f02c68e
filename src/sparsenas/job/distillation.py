"""Which teachers fit which training."""

from __future__ import annotations

from sparsenas.errors import UserError
from sparsenas.methods import Method

SANDWICH, LARGEST = "sandwich", "largest"


def check_sandwich(distill: str, name: str, method: Method) -> None:
    """Raises ``UserError`` unless a supernet can be distilled as ``--search.distill`` says."""
    if distill not in ("", SANDWICH):
        raise UserError(f"--search.distill: expected {SANDWICH}, got {distill}; others teach in the retraining only")
    if distill and type(method).arch is not Method.arch:
        raise UserError(
            f"--search.distill: expected none, since {name} learns the architecture; {SANDWICH} is for methods that "
            f"sample paths, such as spos; got {distill}"
        )
