from pathlib import Path

from holdfast.jobs.frame import job

if __name__ == "__main__":  # training on several GPUs starts processes, which read this once more
    with job(snakemake) as (settings, max_length, *point):
        from holdfast.arms.make import forget, make_first_order
        from holdfast.files.atomic import write_json
        from holdfast.settings.arms import read_move
        from holdfast.sweeps.diverged import marked

        weights, scratch = map(Path, (snakemake.output.weights, snakemake.params.scratch))
        cost, history, seed = {"diverged": True}, [], int(snakemake.wildcards.seed)
        with marked(weights, scratch, arm=snakemake.wildcards.arm, point=bool(point)):
            made, history = make_first_order(
                read_move("checkpoint", settings),
                parent=Path(snakemake.input.lineage[0]),
                data=Path(snakemake.input.data),
                max_length=max_length,
                seed=seed,
                selection=next(map(Path, snakemake.input.selection), None),
                **{"weights": weights, "scratch": scratch},
                processes=max(1, snakemake.resources.get("gpu", 0)),
            )
            cost = made.model_dump()
        names = {name: snakemake.wildcards[name] for name in ("model", "arm")}
        write_json(snakemake.output.cost, cost | names)
        names |= {"seed": seed, "steps": [vars(step) for step in history]}
        write_json(snakemake.output.history, names)
    forget(scratch)
