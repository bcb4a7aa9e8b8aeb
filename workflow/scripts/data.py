from holdfast.jobs.frame import job

with job(snakemake) as (kind, rows, *_):
    from holdfast.data.prepare import prepare
    from holdfast.settings.data import Behaviors, Rows

    settings = (Behaviors if kind == "behaviors" else Rows).model_validate(rows)
    prepare(
        kind,
        settings.source,
        snakemake.output[0],
        data_root=snakemake.params.data_root,
        pocket_folder=snakemake.params.pocket,
        cache_folder=snakemake.params.cache,
        limit=settings.limit,
        exclude_tags=getattr(settings, "exclude_tags", ()),
        setting=f"data.{snakemake.wildcards.dataset}",
    )
