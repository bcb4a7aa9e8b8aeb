from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (judge_labels, cells):
    from pydantic import TypeAdapter

    from holdfast.files.atomic import write_json
    from holdfast.results.make import make_summary
    from holdfast.settings.perturbations import Perturbation

    given, names = snakemake.input, snakemake.wildcards
    for place, (arm, name, settings) in enumerate(cells):
        verdicts = given.verdicts[place :: len(cells)]
        summary = make_summary(
            names=(names.model, arm, int(names.seed)),
            base=Path(given.base),
            behaviors=Path(given.behaviors),
            benign=Path(given.benign),
            perturbation=(name, TypeAdapter(Perturbation).validate_python(settings)),
            completions=Path(given.completions[place]),
            utility=Path(given.utilities[place]),
            verdicts=dict(zip(judge_labels, map(Path, verdicts), strict=True)),
            judge_labels=judge_labels,
        )
        write_json(snakemake.output[place], summary)
