from pathlib import Path

from holdfast.jobs.frame import job

with job(snakemake) as (settings,):
    from holdfast.perturbations.quantize import make_quantized
    from holdfast.settings.quantization import Gptq

    make_quantized(
        Gptq.model_validate(settings),
        arm=Path(snakemake.input.lineage[0]),
        lineage=[Path(path) for path in snakemake.input.lineage],
        data=Path(snakemake.input.data),
        folder=Path(snakemake.output[0]),
        scratch=Path(snakemake.params.scratch) / "quantized",
    )
