rule validation:
    input:
        sources=lambda w: placed(plan.validation_inputs()),
        alignment=plan.data("alignment"),
        safety=plan.data("safety"),
        calibration=plan.data("calibration"),
        behaviors=plan.data("behaviors"),
        benign=plan.data("benign"),
        tasks=plan.task_data,
    output:
        pairs=ensure("<results>/validation/pairs.jsonl", non_empty=True),
        behaviors=ensure("<results>/validation/behaviors.jsonl", non_empty=True),
        benign="<results>/validation/benign.jsonl",
    log:
        "<results>/logs/validation.log",
    conda:
        "../../envs/model.yaml"
    params:
        settings=lambda w: plan.params(
            "validation",
            plan.settings.data.validation,
            plan.settings.data.safety.source,
        ),
        data_root=lambda w: plan.data_root(plan.validation_sources),
        pocket=f"{folder}/world",
        cache=f"{folder}/data/cache",
    script:
        "../scripts/validation.py"


# One rule for every group of points, since a group's files depend on the config.
for job in plan.sweep_jobs:

    rule:
        name:
            job.name
        input:
            parent=job.parent,
            points=job.weights,
            pairs=rules.validation.output.pairs,
            behaviors=rules.validation.output.behaviors,
            benign=rules.validation.output.benign,
        output:
            ensure(
                expand(
                    "<results>/{{model}}/{point}/seed{{seed}}/validation.json",
                    point=job.names,
                ),
                non_empty=True,
            ),
        log:
            f"<results>/logs/{{model}}/{job.arm}/seed{{seed}}/{job.name}.log",
        benchmark:
            f"<results>/benchmarks/{{model}}/{job.arm}/seed{{seed}}/{job.name}.tsv"
        conda:
            "../../envs/model.yaml"
        resources:
            gpu=plan.settings.gpus,
            gpu_model=plan.gpu_model(plan.settings.gpus),
            gpu_mem_mb=job.gpu_mem_mb,
            mem_mb=job.mem_mb,
            runtime=job.runtime,
        params:
            settings=job.params,
            scratch=f"{folder}/scratch/sweeps/{{model}}/seed{{seed}}/{job.name}",
        script:
            "../scripts/points.py"


rule sweep:
    input:
        lambda w: plan.sweep_inputs(w.arm),
    output:
        csv=ensure("<results>/sweeps/{arm}.csv", non_empty=True),
        markdown="<results>/sweeps/{arm}.md",
        latex="<results>/sweeps/{arm}.tex",
        text="<results>/sweeps/{arm}.txt",
        html=report(
            "<results>/sweeps/{arm}.html",
            caption="../report/table.rst",
            category="Sweeps",
            labels={"sweep": "{arm}", "what": "table"},
        ),
        svg=report(
            "<results>/sweeps/{arm}.svg",
            caption="../report/figure.rst",
            category="Sweeps",
            labels={"sweep": "{arm}", "what": "figure"},
        ),
        png="<results>/sweeps/{arm}.png",
        chosen="<results>/sweeps/{arm}.chosen.json",
    log:
        "<results>/logs/sweeps/{arm}.log",
    wildcard_constraints:
        arm=plan.swept_arms,
    conda:
        "../../envs/results.yaml"
    params:
        settings=lambda w: plan.params(
            "sweep", plan.sweep_result(w.arm), plan.labels, plan.meaningless
        ),
    script:
        "../scripts/sweep.py"


rule sweeps:
    input:
        expand("<results>/sweeps/{arm}.csv", arm=plan.sweeps),


for arm in plan.sweeps:

    rule:
        name:
            f"sweep_{arm}"
        input:
            f"<results>/sweeps/{arm}.csv",
        localrule: True
