# One rule for every group of judges, since a group's files depend on the config.
for job in plan.judgments:

    rule:
        name:
            job.name
        input:
            models=job.models,
            templates=job.templates,
            behaviors=plan.data("behaviors"),
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
            scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}",
        script:
            "../scripts/judge.py"


rule summary:
    input:
        base=lambda w: plan.base(w.model),
        behaviors=plan.data("behaviors"),
        benign=plan.data("benign"),
        completions=lambda w: plan.completions(w.model, w.arm, w.seed),
        utilities=lambda w: plan.utilities(w.model, w.arm, w.seed),
        verdicts=lambda w: plan.verdicts(w.model, w.arm, w.seed),
    output:
        ensure("<results>/{model}/{arm}/seed{seed}/summary.json", non_empty=True),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/summary.log",
    conda:
        "../../envs/results.yaml"
    params:
        settings=lambda w: plan.params(
            "summary", plan.judge_labels, plan.perturbed(w.arm, w.model)
        ),
    script:
        "../scripts/summary.py"


rule agreement:
    input:
        world="<results>/world",
        completions=plan.judged_completions(),
        verdicts=lambda w: plan.judged_verdicts(w.judge),
    output:
        ensure("<results>/judges/{judge}.agreement.json", non_empty=True),
    log:
        "<results>/logs/agreement/{judge}.log",
    conda:
        "../../envs/results.yaml"
    params:
        settings=lambda w: plan.params(
            "agreement", plan.settings.judges[w.judge], plan.judged_perturbations()
        ),
    script:
        "../scripts/agreement.py"
