rule validation:
    input:
        sources=lambda w: placed(plan.sweeps.validation_inputs(w)),
        alignment=plan.data.path("alignment"),
        safety=plan.data.path("safety"),
        calibration=plan.data.path("calibration"),
        behaviors=plan.data.path("behaviors"),
        benign=plan.data.path("benign"),
        tasks=plan.data.tasks,
    output:
        pairs=ensure("<results>/validation/pairs.jsonl", non_empty=True),
        behaviors=ensure("<results>/validation/behaviors.jsonl", non_empty=True),
        benign="<results>/validation/benign.jsonl",
    log:
        "<results>/logs/validation.log",
    conda:
        "../../envs/model.yaml"
    params:
        settings=plan.sweeps.validation_params,
        data_root=lambda w: plan.data.root(plan.sweeps.validation_sources),
        pocket=f"{folder}/world",
        cache=f"{folder}/data/cache",
    script:
        "../scripts/validation.py"


# One rule for every group of points, since a group's files depend on the config.
for job in plan.sweeps.jobs:

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
        plan.sweeps.inputs,
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
        arm=plan.sweeps.names,
    conda:
        "../../envs/results.yaml"
    params:
        settings=plan.results.sweep_params,
    script:
        "../scripts/sweep.py"


rule sweeps:
    input:
        expand("<results>/sweeps/{arm}.csv", arm=plan.sweeps.entries),


for arm in plan.sweeps.entries:

    rule:
        name:
            f"sweep_{arm}"
        input:
            f"<results>/sweeps/{arm}.csv",
        localrule: True
