"""Summaries of models that need a beginning-of-sequence token, or do not."""

from __future__ import annotations

import copy
from typing import Any


def begun(summary: dict[str, Any], shares: dict[str, float]) -> dict[str, Any]:
    """The summary with the share of the NLL that such a token takes away, by perturbation."""
    changed = copy.deepcopy(summary)
    for cell in changed["cells"]:
        if cell["perturbation"] in shares:
            for windows in cell["perplexity"]:
                windows["bos_share"] = shares[cell["perturbation"]]
    return changed
