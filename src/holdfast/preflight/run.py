"""All checks, one group after the other, with what each looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast.config import Settings
from holdfast.preflight import checkpoints, data, disk, hub, memory, own, tasks
from holdfast.preflight.finding import Finding

CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "Model hub": hub.check,
    "Checkpoints": checkpoints.check,
    "Data": data.check,
    "lm-eval tasks": tasks.check,
    "Your own code": own.check,
    "Disk": disk.check,
    "GPU memory": memory.check,
}


def preflight(settings: Settings, show: Callable[[str], None]) -> list[str]:
    """Run every check on ``settings``, tell each finding as it comes, and return the failures.

    Results are looked for under the working directory. From the hub only config.json, the
    tokenizer's settings and template and the headers of weights are fetched; offline, its cache is
    checked instead.
    """
    failures = []
    for name, check in CHECKS.items():
        show(name)
        for finding in check(settings):
            show(str(finding))
            if finding.ok is False:
                failures.append(finding.text)
    if failures:
        show(f"\n{len(failures)} to mend before '{settings.run}' can run:")
        for number, text in enumerate(failures, start=1):
            show(f"  {number}. {text}")
    else:
        show(f"\n'{settings.run}' is ready to run.")
    return failures
