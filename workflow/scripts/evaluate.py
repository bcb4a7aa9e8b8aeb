from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (_, perturbations, generation, utility, tasks):
    from pydantic import TypeAdapter

    from holdfast.evaluation.evaluate import Evaluation, evaluate
    from holdfast.files.journal import Journal
    from holdfast.files.manifest import artifact_hash
    from holdfast.settings.evaluation import Generation, Utility
    from holdfast.settings.perturbations import Perturbation

    given = snakemake.input
    data = {name: Path(given[name]) for name in ("behaviors", "benign", "perplexity")}
    data["tasks"] = dict(zip(tasks, map(Path, given.tasks), strict=True))
    asked = Evaluation(
        Generation.model_validate(generation), Utility.model_validate(utility), **data
    )
    # The keys of a journal say what else a cell depends on, so that new cells find the others.
    header = {"arm": {path: artifact_hash(path) for path in given.lineage}, "asked": generation}
    for name, perturbation in perturbations.items():
        evaluate(
            asked,
            TypeAdapter(Perturbation).validate_python(perturbation),
            arm=Path(given.lineage[0]),
            seed=int(snakemake.wildcards.seed),
            journal=Journal(Path(snakemake.params.scratch) / f"{name}.jsonl", header),
            folder=Path(snakemake.output.completions[0]).parents[1] / name,
        )
