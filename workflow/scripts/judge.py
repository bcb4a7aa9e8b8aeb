import json
from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (judges, perturbations):
    from pydantic import TypeAdapter

    from holdfast.arms.loader import loader_of
    from holdfast.files.atomic import read_jsonl
    from holdfast.files.manifest import artifact_hash
    from holdfast.judges.run import Completions, judge_completions
    from holdfast.judges.verdict import Given
    from holdfast.settings.judges import Judge

    given = snakemake.input
    models, templates, outputs = map(iter, (given.models, given.templates, snakemake.output))
    for name, settings in TypeAdapter(dict[str, Judge]).validate_python(judges).items():
        folder = next(models) if settings.needs_model else None
        template = Path(next(templates)) if settings.needs_template else None
        identity = {"version": json.loads(snakemake.params.settings)[0]}
        identity["model"] = artifact_hash(folder) if folder else None
        judge_completions(
            settings,
            Given(loader_of(folder) if folder else None, template, identity),
            behaviors=read_jsonl(given.behaviors),
            completions=list(map(Completions.read, perturbations, given.completions, outputs)),
            journal_path=Path(snakemake.params.scratch) / f"{name}.jsonl",
        )
