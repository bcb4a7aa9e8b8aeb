from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (arm, points, scoring, perturbations, generation, max_length):
    from pydantic import TypeAdapter

    from holdfast.settings.evaluation import Generation
    from holdfast.settings.perturbations import Perturbation
    from holdfast.settings.sweeps import SweepSettings
    from holdfast.sweeps.score import Scoring, score_points

    given, names = snakemake.input, snakemake.wildcards
    score_points(
        Scoring(
            SweepSettings.model_validate(scoring),
            Generation.model_validate(generation),
            TypeAdapter(dict[str, Perturbation]).validate_python(perturbations),
            max_length,
            **{name: Path(given[name]) for name in ("pairs", "behaviors", "benign")},
        ),
        model=names.model,
        arm=arm,
        seed=int(names.seed),
        parent=[Path(path) for path in given.parent],
        points=points,
        weights=[Path(path) for path in given.points],
        out=[Path(path) for path in snakemake.output],
        scratch=Path(snakemake.params.scratch),
    )
