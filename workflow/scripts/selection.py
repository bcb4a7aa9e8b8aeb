from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings,):
    from pydantic import TypeAdapter

    from holdfast.data.outputs import SelectionFile
    from holdfast.files.atomic import write_json
    from holdfast.layers.make import make_selection
    from holdfast.settings.selections import SelectionSettings

    selection = make_selection(
        TypeAdapter(SelectionSettings).validate_python(settings),
        [Path(path) for path in snakemake.input],
    )
    names = {name: snakemake.wildcards[name] for name in ("model", "arm", "selection")}
    of = SelectionFile(**dict(selection), **names, seed=int(snakemake.wildcards.seed))
    write_json(snakemake.output[0], of)
