"""How much the engine works on at once: what bounds its memory, and so is part of its estimate."""

from __future__ import annotations

LOGITS_BYTES = 1 << 28  # float32 logits that a loss computes at once
STACKED_TOKENS = 1 << 14  # tokens of one pass for several probes of sensitivity
KEPT_ELEMENTS = 1 << 24  # of a zeroth-order step's noise (64 MiB) that is kept between its uses
