"""What a stream of noise is: the numbers that define it, and the key that names one."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass

STREAM = 2  # raised whenever the numbers change: logs of directions name their stream
ROUNDS = 6
HALF = 1 << 12  # pairs in a tile; part of the definition of the stream
# Shift and multipliers of Wellons' integer hash "lowbias32" (2018), as signed words.
MULTIPLY_IN = 0x7FEB352D
MULTIPLY_OUT = 0x846CA68B - (1 << 32)
SHIFT = 15
UNIT = 2.0**-31  # from the size of a signed word to [0, 1]
HALF_UNIT = UNIT / 2  # keeps the radius finite where that size is 0
WORD_TO_ANGLE = math.pi * 2.0**-31


@dataclass(frozen=True)
class Key:
    """What a stream of noise depends on, besides the name of the tensor it is for."""

    seed: int
    purpose: str
    step: int = 0
    direction: int = 0

    def words(self, name: str) -> list[int]:
        """Return the ``ROUNDS`` signed 32-bit round keys of the stream for tensor ``name``."""
        text = json.dumps([self.seed, self.purpose, self.step, self.direction, name])
        digest = hashlib.blake2b(text.encode(), digest_size=4 * ROUNDS).digest()
        return [
            int.from_bytes(digest[i : i + 4], "little", signed=True)
            for i in range(0, len(digest), 4)
        ]


def key(seed: int, purpose: str, *, step: int = 0, direction: int = 0) -> Key:
    """Name a family of streams: one per tensor name."""
    return Key(int(seed), purpose, int(step), int(direction))
