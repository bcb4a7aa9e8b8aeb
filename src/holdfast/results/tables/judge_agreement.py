"""How often each judge agrees with the embedded world's oracle, on clean and noised inputs."""

from __future__ import annotations

from typing import Literal

import numpy as np

from holdfast.errors import HoldfastError
from holdfast.results.measured.files import OracleAgreement, none_of
from holdfast.results.measured.inputs import Context, Inputs
from holdfast.results.measured.metrics import show
from holdfast.results.tables.grid import Entry, Table, TableBlock
from holdfast.results.tables.tidy import Measurement
from holdfast.settings.tables import JudgeAgreementTable
from holdfast.statistics import rate

GROUPS: tuple[Literal["clean", "noised"], ...] = ("clean", "noised")


def build(name: str, settings: JudgeAgreementTable, inputs: Inputs, _: Context) -> Table:
    """Build the table from the content of the agreement.json files, one a judge."""
    agreements = inputs.agreements
    if not agreements:
        raise none_of(OracleAgreement)
    rows, records = [], []
    for agreement in agreements:
        for group in GROUPS:
            counted = agreement.clean if group == "clean" else agreement.noised
            n, agree = counted.n, counted.agree
            if not 0 <= agree <= n or n == 0:
                raise HoldfastError(
                    f"agreement.json of judge '{agreement.judge}' says {agree} of {n} {group} "
                    "inputs agree: check the judge again"
                )
            counts = np.zeros(n, dtype=np.int64)
            counts[:agree] = 1
            found = rate(counts, 1)
            required = agreement.required[group]
            met = found.value >= required
            rows.append(
                (
                    Entry(agreement.judge),
                    Entry(group),
                    Entry(f"{n:,}"),
                    Entry(show(found.value), interval=f"{found.low:.3f}–{found.high:.3f}"),
                    Entry(show(required)),
                    Entry("yes" if met else "NO", tone="better" if met else "worse"),
                )
            )
            metric = f"agreement_{agreement.judge}"
            records.append(Measurement("", "", group, "", metric, "higher", found))
    return Table(
        name=name,
        title=settings.title,
        caption=settings.caption,
        banner="",
        headings=("Judge", "Inputs", "n", "Agreement ↑", "Required", "Met"),
        text_columns=2,
        blocks=(TableBlock("", "", tuple(rows)),),
        notes=(
            "Agreement with the oracle of the embedded world, which made the labels; 95 % Wilson "
            "intervals over inputs. Met compares the value, not the interval, with what is "
            "required.",
        ),
        records=tuple(records),
    )
