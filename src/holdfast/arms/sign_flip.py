"""Control: the steps of a zeroth-order arm, each taken the other way."""

from __future__ import annotations

from typing import Any


def flip_signs(log: dict[str, Any]) -> dict[str, Any]:
    """Return a replay log whose scalars are negated; its directions and step sizes stay."""
    steps = [
        step
        | {
            "coefficients": [-one for one in step["coefficients"]],
            "projected_gradients": [-one for one in step["projected_gradients"]],
        }
        for step in log["steps"]
    ]
    return log | {"arm": "sign_flip", "steps": steps}
