# One rule for every group of judges, since a group's files depend on the config.
for job in plan.judging.jobs:

    rule:
        name:
            job.name
        input:
            models=job.models,
            templates=job.templates,
            behaviors=plan.data.path("behaviors"),
            completions=job.read.outputs("completions.jsonl"),
        output:
            ensure(job.outputs, non_empty=True),
        log:
            f"<results>/logs/{job.read.folder}/{job.name}.log",
        benchmark:
            f"<results>/benchmarks/{job.read.folder}/{job.name}.tsv"
        wildcard_constraints:
            model=job.read.evaluated.models,
            arm=job.read.evaluated.arms,
            perturbation=job.read.evaluated.named,
        conda:
            "../../envs/model.yaml"
        resources:
            gpu=job.gpus,
            gpu_model=plan.gpu_model(job.gpus),
            gpu_mem_mb=job.memory.gpu_mem_mb,
            mem_mb=job.mem_mb,
            runtime=job.runtime,
        params:
            settings=job.params,
            twins=not job.read.together,
            scratch=f"{folder}/scratch/{job.read.scratch}",
        script:
            "../scripts/judge.py"


for job in plan.judging.summaries:

    rule:
        name:
            job.name
        input:
            base="<results>/models/{model}",
            behaviors=plan.data.path("behaviors"),
            benign=plan.data.path("benign"),
            completions=job.outputs("completions.jsonl"),
            utilities=job.outputs("utility.json"),
            verdicts=job.verdicts,
        output:
            ensure(job.outputs("summary.json"), non_empty=True),
        log:
            f"<results>/logs/{job.folder}/{job.name}.log",
        wildcard_constraints:
            model=job.evaluated.models,
            arm=job.evaluated.arms,
            perturbation=job.evaluated.named,
        conda:
            "../../envs/results.yaml"
        params:
            settings=job.params,
        script:
            "../scripts/summary.py"


rule agreement:
    input:
        world="<results>/world",
        completions=plan.judging.compared_completions(),
        verdicts=plan.judging.compared_verdicts,
    output:
        ensure("<results>/judges/{judge}.agreement.json", non_empty=True),
    log:
        "<results>/logs/agreement/{judge}.log",
    conda:
        "../../envs/results.yaml"
    params:
        settings=plan.judging.agreement_params,
    script:
        "../scripts/agreement.py"
