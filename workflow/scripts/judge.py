from functools import partial
from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (judges, perturbations):
    from pydantic import TypeAdapter

    from holdfast.files.atomic import read_jsonl
    from holdfast.judges.run import judge_completions
    from holdfast.settings.judges import Judge

    def load(folder):
        from holdfast.arms.load import load_arm

        loaded = load_arm(folder)
        return loaded.model, loaded.tokenizer

    given, scratch = snakemake.input, Path(snakemake.params.scratch)
    models, templates, outputs = map(iter, (given.models, given.templates, snakemake.output))
    for name, settings in judges.items():
        judge_completions(
            TypeAdapter(Judge).validate_python(settings),
            behaviors=read_jsonl(given.behaviors),
            completions=dict(zip(perturbations, map(read_jsonl, given.completions), strict=True)),
            out_path=next(outputs),
            journal_path=scratch / f"{name}.jsonl",
            load_model=partial(load, next(models)) if "model" in settings else None,
            template_path=next(templates) if "template" in settings else None,
        )
