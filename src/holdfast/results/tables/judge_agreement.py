"""How often each judge agrees with the embedded world's oracle, on clean and noised inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from holdfast.errors import HoldfastError
from holdfast.results.measured.metrics import show
from holdfast.results.tables.grid import Block, Cell, Table
from holdfast.results.tables.tidy import Record
from holdfast.settings.labels import Labels
from holdfast.settings.tables import JudgeAgreementTable
from holdfast.statistics import rate

INPUTS = ("clean", "noised")


def judge_agreement_table(
    name: str, settings: JudgeAgreementTable, agreements: Sequence[Mapping[str, Any]], _: Labels
) -> Table:
    """Build the table from the content of the agreement.json files, one a judge."""
    if not agreements:
        raise HoldfastError(f"table '{name}' has no agreement.json to read: check the judges first")
    rows, records = [], []
    for agreement in agreements:
        for inputs in INPUTS:
            n, agree = agreement[inputs]["n"], agreement[inputs]["agree"]
            if not 0 <= agree <= n or n == 0:
                raise HoldfastError(
                    f"agreement.json of judge '{agreement['judge']}' says {agree} of {n} {inputs} "
                    "inputs agree: check the judge again"
                )
            counts = np.zeros(n, dtype=np.int64)
            counts[:agree] = 1
            found = rate(counts, 1)
            required = agreement["required"][inputs]
            met = found.value >= required
            rows.append(
                (
                    Cell(agreement["judge"]),
                    Cell(inputs),
                    Cell(f"{n:,}"),
                    Cell(show(found.value), interval=f"{found.low:.3f}–{found.high:.3f}"),
                    Cell(show(required)),
                    Cell("yes" if met else "NO", tone="better" if met else "worse"),
                )
            )
            metric = f"agreement_{agreement['judge']}"
            records.append(Record("", "", inputs, "", metric, "higher", found))
    return Table(
        name,
        settings.title,
        settings.caption,
        "",
        (),
        ("Judge", "Inputs", "n", "Agreement ↑", "Required", "Met"),
        2,
        (Block("", "", tuple(rows)),),
        (
            "Agreement with the oracle of the embedded world, which made the labels; 95 % Wilson "
            "intervals over inputs. Met compares the value, not the interval, with what is "
            "required.",
        ),
        tuple(records),
    )
