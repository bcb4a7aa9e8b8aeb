"""Claims, what they are held against, and the rows of their table."""

from __future__ import annotations

import csv
import io
from typing import Any

from pydantic import TypeAdapter

from built import build_table
from holdfast.settings.labels import Labels
from holdfast.settings.tables import TableSettings
from small_tables import summary

LINEAGE = Labels(parents={"zo": "fo", "random": "fo", "again": "fo"})
BASE = {"arm": "zo", "reference": {"arm": "fo"}}
LOWER = {**BASE, "kind": "lower", "text": "ZO lowers", "metrics": ["harmbench"]}
PLAIN = {**LOWER, "perturbations": ["none"]}
SAME = {**PLAIN, "kind": "equal", "text": "ZO keeps", "metrics": ["perplexity"], "margin": 0.02}
GAP = {"kind": "gap", "text": "ZO is flatter", "arm": "zo", "than": "fo", "rho": 0.02}
COST = {"kind": "cost", "text": "ZO is cheap", "arm": "zo", "share_of": "fo", "measure": "wall_s"}


def table_of(run: list[Any], **claims: dict[str, Any]) -> Any:
    changes = claims.pop("settings", {})
    raw = {"kind": "claims", "title": "Claims", "catalogue": claims, **changes}
    return build_table("t", TypeAdapter(TableSettings).validate_python(raw), run, LINEAGE)


def rows_of(table: Any) -> dict[str, dict[str, str]]:
    return {row["claim"]: row for row in csv.DictReader(io.StringIO(table.csv))}


def row_of(run: list[Any], claim: dict[str, Any], **settings: Any) -> dict[str, str]:
    return rows_of(table_of(run, it=claim, settings=settings))["it"]


def outcomes(arm: str, *, seed: int = 0, **bits: list[str]) -> Any:
    """A summary whose every cell of n behaviors has these outcomes, one string a draw."""
    n = len(next(iter(bits.values()))[0])
    one = {**summary(arm, n=n), "seed": seed}
    for cell in one["cells"]:
        cell["outcomes"] = {**cell["outcomes"], **{j: d * cell["draws"] for j, d in bits.items()}}
    return one


def pair(fo: int, zo: int, n: int = 100) -> list[Any]:
    """FO and ZO with so many successes, the behaviors of the fewer among those of the more."""
    return [
        outcomes(arm, harmbench=["1" * hits + "0" * (n - hits)])
        for arm, hits in (("fo", fo), ("zo", zo))
    ]


def windows(arm: str, nll: list[float]) -> Any:
    one = summary(arm)
    for cell in one["cells"]:
        cell["perplexity"] = [{"nll": nll, "tokens": [64] * len(nll)}] * cell["draws"]
    return one


def cost(arm: str, seconds: float, **changes: Any) -> dict[str, Any]:
    base = {"model": "m", "arm": arm, "stage": "s", "steps": 1, "wall_s": seconds}
    base |= {"peak_memory_bytes": 0, "forward_passes": 5, "device": "GPU", "memory_kind": "a"}
    base["resumed"] = False
    return base | changes


def gaps(arm: str, bends: list[float], seed: int = 0) -> dict[str, Any]:
    """A gap.json of losses 1 + bend * rho^2, a bend a draw."""
    losses = [[1 + bend * rho**2 for bend in bends] for rho in (0.01, 0.02)]
    return {
        "model": "m", "arm": arm, "seed": seed, "weights": f"weights of {arm}",
        "rho": [0.01, 0.02], "loss": 1.0, "samples": 4,
        "data_sha256": "s", "plus": losses, "minus": losses, "gradient": None, "step": None,
    }  # fmt: skip
