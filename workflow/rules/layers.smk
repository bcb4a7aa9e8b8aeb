rule layer_scores:
    input:
        lineage=plan.arms.lineage,
        data=plan.data.path("safety"),
    output:
        ensure(
            "<results>/{model}/{arm}/seed{seed}/layers/{selection}/scores-{chunk}.json",
            non_empty=True,
        ),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/layers/{selection}-{chunk}.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/layers/{selection}-{chunk}.tsv"
    priority: 4
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=plan.settings.gpus,
        gpu_model=plan.gpu_model(plan.settings.gpus),
        gpu_mem_mb=lambda w: plan.memory.layer_scores(w.model, w.selection).gpu_mem_mb,
        mem_mb=lambda w, attempt: attempt
        * plan.memory.layer_scores(w.model, w.selection).mem_mb,
        runtime=lambda w, attempt: attempt
        * plan.runtime.layer_scores(w.model, w.selection),
    params:
        settings=lambda w: plan.params(
            "layer_scores",
            plan.settings.selections[w.selection],
            plan.settings.data.max_length,
        ),
        layers=plan.layers.chunk,
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}/layers/{{selection}}-{{chunk}}",
    script:
        "../scripts/layer_scores.py"


rule selection:
    input:
        plan.layers.chunks,
    output:
        ensure(
            "<results>/{model}/{arm}/seed{seed}/layers/{selection}/selection.json",
            non_empty=True,
        ),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/layers/{selection}.log",
    conda:
        "../../envs/results.yaml"
    params:
        settings=lambda w: plan.params(
            "selection", plan.settings.selections[w.selection]
        ),
    script:
        "../scripts/selection.py"
