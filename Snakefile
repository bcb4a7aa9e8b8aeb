"""Where plain `snakemake` finds the workflow: workflow/Snakefile, whose default target is kept."""


include: "workflow/Snakefile"


workflow.default_target = "all"  # an included file's does not count
