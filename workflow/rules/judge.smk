# One rule for every group of judges, since a group's files depend on the config.
for job in plan.judging.jobs:

    rule:
        name:
            job.name
        input:
            models=job.models,
            templates=job.templates,
            behaviors=plan.data.path("behaviors"),
            completions=job.completions,
        output:
            ensure(
                expand(
                    "<results>/{{model}}/{{arm}}/seed{{seed}}/verdicts/{judge}.jsonl",
                    judge=job.judges,
                ),
                non_empty=True,
            ),
        log:
            f"<results>/logs/{{model}}/{{arm}}/seed{{seed}}/{job.name}.log",
        benchmark:
            f"<results>/benchmarks/{{model}}/{{arm}}/seed{{seed}}/{job.name}.tsv"
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
            scratch=f"{plan.paths.results}/scratch/{{model}}/{{arm}}/seed{{seed}}",
        script:
            "../scripts/judge.py"


rule summary:
    input:
        base=lambda w: plan.paths.base(w.model),
        behaviors=plan.data.path("behaviors"),
        benign=plan.data.path("benign"),
        completions=plan.evaluation.completions,
        utilities=plan.evaluation.utilities,
        verdicts=plan.judging.verdicts,
    output:
        ensure("<results>/{model}/{arm}/seed{seed}/summary.json", non_empty=True),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/summary.log",
    conda:
        "../../envs/results.yaml"
    params:
        settings=plan.judging.summary_params,
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
