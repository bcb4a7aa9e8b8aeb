from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings, max_length, *point):
    from holdfast.arms.make import forget, make_zeroth_order
    from holdfast.files.atomic import write_json
    from holdfast.settings.arms import read_move
    from holdfast.sweeps.diverged import marked

    weights, scratch = Path(snakemake.output.weights), Path(snakemake.params.scratch)
    cost = {"diverged": True}
    with marked(weights, scratch, arm=snakemake.wildcards.arm, point=bool(point)):
        cost = make_zeroth_order(
            read_move("replay_log", settings),
            parent=Path(snakemake.input.lineage[0]),
            data=Path(snakemake.input.data),
            max_length=max_length,
            seed=int(snakemake.wildcards.seed),
            selection=next(map(Path, snakemake.input.selection), None),
            weights=weights,
            scratch=scratch,
        ).model_dump()
    names = {"model": snakemake.wildcards.model, "arm": snakemake.wildcards.arm}
    write_json(snakemake.output.cost, cost | names)
forget(scratch)
