from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (arm, perturbations, generation, utility, tasks):
    from pydantic import TypeAdapter

    from holdfast.evaluation.evaluate import Evaluation, evaluate
    from holdfast.files.journal import Journal
    from holdfast.files.manifest import artifact_hash
    from holdfast.settings.evaluation import Generation, Utility
    from holdfast.settings.perturbations import Perturbation

    given = snakemake.input
    data = {name: Path(given[name]) for name in ("behaviors", "benign", "perplexity")}
    tasks = {name: Path(path) for name, path in zip(tasks, given.tasks, strict=True)}
    asked = Evaluation(
        Generation.model_validate(generation), Utility.model_validate(utility), tasks=tasks, **data
    )
    hashes = {path: artifact_hash(path) for path in given}
    for name, settings in perturbations.items():
        identity = {"inputs": hashes, "settings": [settings, generation, utility]}
        evaluate(
            asked,
            TypeAdapter(Perturbation).validate_python(settings),
            arm=Path(given.lineage[0]),
            seed=int(snakemake.wildcards.seed),
            journal=Journal(Path(snakemake.params.scratch) / f"{name}.jsonl", identity),
            folder=Path(snakemake.output.completions[0]).parents[1] / name,
        )
