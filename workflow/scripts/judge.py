import json
from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (judges, perturbations):
    from pydantic import TypeAdapter

    from holdfast.data.outputs import CompletionRow
    from holdfast.files.atomic import read_jsonl
    from holdfast.files.manifest import artifact_hash
    from holdfast.files.typed import read_rows
    from holdfast.judges.run import Completions, judge_completions
    from holdfast.judges.verdict import Given
    from holdfast.settings.judges import Judge

    given = snakemake.input
    rows = [read_rows(CompletionRow, path) for path in given.completions]
    models, templates, outputs = map(iter, (given.models, given.templates, snakemake.output))
    for name, settings in TypeAdapter(dict[str, Judge]).validate_python(judges).items():
        folder = load = None
        if settings.needs_model:
            from holdfast.arms.load import loader_of  # torch: other judges do not wait for it

            folder = next(models)
            load = loader_of(folder)
        template = Path(next(templates)) if settings.needs_template else None
        identity = {"version": json.loads(snakemake.params.settings)[0]}
        identity["model"] = artifact_hash(folder) if folder else None
        judge_completions(
            settings,
            Given(load, template, identity),
            behaviors=read_jsonl(given.behaviors),
            completions=list(map(Completions, perturbations, rows, outputs)),
            journal_path=Path(snakemake.params.scratch) / f"{name}.jsonl",
        )
