"""Holdfast: from a config to tables of what happens to a model's safety when it is perturbed.

`snakemake --cores 2` makes every table and figure of config/config.yaml;
`snakemake --cores 2 table2` makes one. `config/README.md` explains every setting.
"""

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

from holdfast.config import HoldfastError, load_settings
from holdfast.config.overlays import config_files
from holdfast.jobs.slurm import take_over
from holdfast.plan import Plan
from holdfast.jobs.status import record_run
from holdfast.files.project import default_config
from holdfast.files.refusals import require_writable


configfile: default_config()


try:
    plan = Plan(load_settings(config, config_files(workflow)))
    require_writable(".snakemake")
    require_writable(plan.results)
except HoldfastError as error:
    sys.exit(f"holdfast: {error}")


pathvars:
    results=plan.results,


wildcard_constraints:
    model=plan.names("models"),
    arm=plan.arm_names,
    seed=r"\d+",
    selection=plan.names("selections"),
    chunk=r"\d+",
    perturbation=plan.names("perturbations"),
    judge=plan.names("judges"),
    table=plan.names("tables"),
    figure=plan.names("figures"),


onstart:
    # `status` and `preflight` make no files, so that they get a lock says nothing of other runs.
    if any(job.output for job in workflow.dag.jobs):
        take_over(workflow, plan.settings.run)
        record_run(workflow.dag, Path(plan.results), plan.cell_count)


# On a cluster these run where Snakemake does: they are small, or need the network.
localrules:
    all,
    tables,
    figures,
    preflight,
    status,
    sweeps,
    data,
    selection,
    table,
    figure,


report: "workflow/report/workflow.rst"


include: "workflow/rules/preflight.smk"
include: "workflow/rules/status.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/arms.smk"
include: "workflow/rules/layers.smk"
include: "workflow/rules/gap.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/sweeps.smk"


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
