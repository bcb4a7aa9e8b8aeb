"""Training pairs: a prompt and the response to learn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from holdfast.data.tables import Row, read_rows, sample, select
from holdfast.errors import HoldfastError

NAMES = {
    "prompt": ("prompt",),
    "response": ("llama3_output", "response"),
    "context": (),  # Alpaca's `input`, Dolly's `context`
}
HARMFUL = "output"


def load_pairs(
    path: Path, columns: Mapping[str, str], limit: int | None = None, seed: int = 0
) -> list[Row]:
    """Return rows ``{"prompt", "response"}`` of a file in the circuit-breakers schema, or similar.

    A ``context``, where ``columns`` name one, follows the prompt after an empty line. The response
    is the refusal ``llama3_output``. The column ``output`` beside it is the harmful completion: it
    is never loaded. Raises HoldfastError for missing columns, empty texts, or fewer rows than
    ``limit``, of which that many are drawn by ``seed``.
    """
    raw = read_rows(path)
    if "llama3_output" in raw[0] and HARMFUL in columns.values():
        raise HoldfastError(
            f"columns: in {path} `{HARMFUL}` is the harmful completion and is never loaded; "
            "use `llama3_output`"
        )
    rows = select(path, raw, NAMES, columns, optional=("context",))
    for number, row in enumerate(rows, start=1):
        for name in ("prompt", "response"):
            if not isinstance(row[name], str) or not row[name].strip():
                raise HoldfastError(f"{path}, row {number} has no text for the {name}")
        if context := str(row.pop("context", "")).strip():
            row["prompt"] = f"{row['prompt']}\n\n{context}"
    return sample(rows, limit, seed, path)
