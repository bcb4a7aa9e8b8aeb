rule robustness_gap:
    input:
        lineage=plan.arms.lineage,
        data=plan.data.path("safety"),
    output:
        ensure("<results>/{model}/{arm}/seed{seed}/gap.json", non_empty=True),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/gap.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/gap.tsv"
    priority: 1
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=plan.settings.gpus,
        gpu_model=plan.gpu_model(plan.settings.gpus),
        gpu_mem_mb=lambda w: plan.memory.gap(w.model).gpu_mem_mb,
        mem_mb=lambda w, attempt: attempt * plan.memory.gap(w.model).mem_mb,
        runtime=lambda w, attempt: attempt * plan.runtime.gap(w.model),
    params:
        settings=plan.gaps.params,
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}/gap",
    script:
        "../scripts/gap.py"
