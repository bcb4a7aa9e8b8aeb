import json
from functools import partial
from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (judges, perturbations):
    from pydantic import TypeAdapter

    from holdfast.files.atomic import read_jsonl
    from holdfast.files.manifest import artifact_hash
    from holdfast.judges.run import judge_completions
    from holdfast.judges.verdict import Given
    from holdfast.settings.judges import Judge

    def load(folder):
        from holdfast.arms.load import load_arm

        loaded = load_arm(folder)
        return loaded.model, loaded.tokenizer

    given, scratch = snakemake.input, Path(snakemake.params.scratch) / "verdicts"
    version = json.loads(snakemake.params.settings)[0]
    models, templates, outputs = map(iter, (given.models, given.templates, snakemake.output))
    for name, settings in TypeAdapter(dict[str, Judge]).validate_python(judges).items():
        model = next(models) if settings.needs_model else None
        judge_completions(
            settings,
            Given(
                load_model=partial(load, model) if model else None,
                template=Path(next(templates)) if settings.needs_template else None,
                identity={"version": version, "model": artifact_hash(model) if model else None},
            ),
            behaviors=read_jsonl(given.behaviors),
            completions=dict(zip(perturbations, map(read_jsonl, given.completions), strict=True)),
            out_path=next(outputs),
            journal_path=scratch / f"{name}.jsonl",
        )
