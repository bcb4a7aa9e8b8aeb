rule quantize:
    input:
        lineage=plan.arms.lineage,
        data=plan.data.path("calibration"),
    output:
        directory("<results>/{model}/{arm}/seed{seed}/{perturbation}/quantized"),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/{perturbation}/quantize.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/{perturbation}/quantize.tsv"
    wildcard_constraints:
        perturbation=plan.evaluation.quantized_by("llm-compressor"),
    priority: 2
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=plan.settings.gpus,
        gpu_model=plan.gpu_model(plan.settings.gpus),
        gpu_mem_mb=lambda w: plan.memory.quantize(w.model, w.perturbation).gpu_mem_mb,
        mem_mb=lambda w, attempt: attempt
        * plan.memory.quantize(w.model, w.perturbation).mem_mb,
        runtime=lambda w, attempt: attempt
        * plan.runtime.quantize(w.model, w.perturbation),
    params:
        settings=lambda w: plan.params(
            "quantize", plan.settings.perturbations[w.perturbation]
        ),
        twins=True,
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}/{{perturbation}}",
    script:
        "../scripts/quantize.py"


# GPTQModel needs another torch, so it reads a plain folder and nothing of the arm's stages.
rule quantize_gptqmodel:
    input:
        lineage=["<results>/{model}/{arm}/seed{seed}/export"],
        data=plan.data.path("calibration"),
    output:
        directory("<results>/{model}/{arm}/seed{seed}/{perturbation}/quantized"),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/{perturbation}/quantize.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/{perturbation}/quantize.tsv"
    wildcard_constraints:
        perturbation=plan.evaluation.quantized_by("gptqmodel"),
    priority: 2
    conda:
        "../../envs/gptqmodel.yaml"
    resources:
        gpu=plan.settings.gpus,
        gpu_model=plan.gpu_model(plan.settings.gpus),
        gpu_mem_mb=lambda w: plan.memory.quantize(w.model, w.perturbation).gpu_mem_mb,
        mem_mb=lambda w, attempt: attempt
        * plan.memory.quantize(w.model, w.perturbation).mem_mb,
        runtime=lambda w, attempt: attempt
        * plan.runtime.quantize(w.model, w.perturbation),
    params:
        settings=lambda w: plan.params(
            "quantize", plan.settings.perturbations[w.perturbation]
        ),
        twins=True,
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}/{{perturbation}}",
    script:
        "../scripts/quantize.py"


rule ready_made:
    input:
        lambda w: plan.paths.base(w.model),
    output:
        directory("<results>/{model}/{arm}/seed{seed}/{perturbation}/quantized"),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/{perturbation}/ready_made.log",
    wildcard_constraints:
        perturbation=plan.evaluation.quantized_by("checkpoint"),
    priority: 2
    conda:
        "../../envs/model.yaml"
    resources:
        mem_mb=lambda w, attempt: attempt * plan.memory.files(w.model).mem_mb,
        runtime=lambda w, attempt: attempt * plan.runtime.files(w.model),
    params:
        settings=plan.evaluation.ready_made_params,
    script:
        "../scripts/ready_made.py"


# Whole checkpoints, which nothing needs once they were tested.
rule finetune:
    input:
        lineage=plan.arms.lineage,
        data=lambda w: plan.data.attack(w.perturbation),
    output:
        temp(directory("<results>/{model}/{arm}/seed{seed}/{perturbation}/quantized")),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/{perturbation}/finetune.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/{perturbation}/finetune.tsv"
    wildcard_constraints:
        perturbation=plan.evaluation.quantized_by("finetune"),
    priority: 2
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=plan.settings.gpus,
        gpu_model=plan.gpu_model(plan.settings.gpus),
        gpu_mem_mb=lambda w: plan.memory.finetune(w.model, w.perturbation).gpu_mem_mb,
        mem_mb=lambda w, attempt: attempt
        * plan.memory.finetune(w.model, w.perturbation).mem_mb,
        runtime=lambda w, attempt: attempt
        * plan.runtime.finetune(w.model, w.perturbation),
    params:
        settings=lambda w: plan.params(
            "finetune",
            plan.settings.perturbations[w.perturbation],
            plan.settings.data.max_length,
        ),
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}/{{perturbation}}",
    script:
        "../scripts/finetune.py"


# One rule for every group of perturbations, since a group's files depend on the config.
for job in plan.evaluation.jobs:

    rule:
        name:
            job.name
        input:
            lineage=job.lineage,
            quantized=job.quantized,
            behaviors=plan.data.path("behaviors"),
            benign=plan.data.path("benign"),
            perplexity=plan.data.path("perplexity"),
            tasks=plan.data.tasks,
        output:
            completions=ensure(job.outputs("completions.jsonl"), non_empty=True),
            utility=ensure(job.outputs("utility.json"), non_empty=True),
        log:
            f"<results>/logs/{job.folder}/{job.name}.log",
        benchmark:
            f"<results>/benchmarks/{job.folder}/{job.name}.tsv"
        wildcard_constraints:
            model=job.models,
            arm=job.arms,
            perturbation=job.named,
        priority: 1
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
            twins=True,
            scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}",
        script:
            "../scripts/evaluate.py"
