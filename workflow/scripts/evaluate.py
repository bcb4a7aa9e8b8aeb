from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (perturbations, generation, utility, tasks):
    from pydantic import TypeAdapter

    from holdfast.evaluation.evaluate import Evaluation, cell_journal, evaluate, weights_digest
    from holdfast.settings.evaluation import Generation, Utility
    from holdfast.settings.perturbations import Perturbation

    given, scratch = snakemake.input, Path(snakemake.params.scratch)
    weights = weights_digest(given.lineage)
    data = {name: Path(given[name]) for name in ("behaviors", "benign", "perplexity")}
    data["tasks"] = dict(zip(tasks, map(Path, given.tasks), strict=True))
    asked = Evaluation(
        Generation.model_validate(generation), Utility.model_validate(utility), **data
    )
    for name, perturbation in perturbations.items():
        evaluate(
            asked,
            TypeAdapter(Perturbation).validate_python(perturbation),
            arm=Path(given.lineage[0]),
            weights=weights,
            seed=int(snakemake.wildcards.seed),
            journal=cell_journal(scratch, name, weights, generation),
            folder=Path(snakemake.output.completions[0]).parents[1] / name,
        )
