from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (judge_labels, perturbations):
    from pydantic import TypeAdapter

    from holdfast.files.atomic import write_json
    from holdfast.results.make import make_summary
    from holdfast.settings.perturbations import Perturbation

    given, names = snakemake.input, snakemake.wildcards
    summary = make_summary(
        names=(names.model, names.arm, int(names.seed)),
        base=Path(given.base),
        behaviors=Path(given.behaviors),
        benign=Path(given.benign),
        perturbations=TypeAdapter(dict[str, Perturbation]).validate_python(perturbations),
        completions=[Path(path) for path in given.completions],
        utilities=[Path(path) for path in given.utilities],
        verdicts=dict(zip(judge_labels, map(Path, given.verdicts), strict=True)),
        judge_labels=judge_labels,
    )
    write_json(snakemake.output[0], summary)
