rule first_order:
    input:
        lineage=plan.arms.parent_lineage,
        data=lambda w: plan.data.path(plan.arms.entries[w.arm].data),
        selection=plan.layers.of_arm,
    output:
        weights=directory("<results>/{model}/{arm}/seed{seed}/weights"),
        cost="<results>/{model}/{arm}/seed{seed}/cost.json",
        history="<results>/{model}/{arm}/seed{seed}/history.json",
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/first_order.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/first_order.tsv"
    wildcard_constraints:
        arm=plan.arms.first_order,
    priority: 5
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=plan.settings.gpus,
        gpu_model=plan.gpu_model(plan.settings.gpus),
        gpu_mem_mb=lambda w: plan.memory.first_order(w.model, w.arm).gpu_mem_mb,
        mem_mb=lambda w, attempt: attempt
        * plan.memory.first_order(w.model, w.arm).mem_mb,
        runtime=lambda w, attempt: attempt * plan.runtime.first_order(w.model, w.arm),
    params:
        settings=plan.arms.params,
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}",
    script:
        "../scripts/first_order.py"


rule zeroth_order:
    input:
        lineage=plan.arms.parent_lineage,
        data=lambda w: plan.data.path(plan.arms.entries[w.arm].data),
        selection=plan.layers.of_arm,
    output:
        weights=directory("<results>/{model}/{arm}/seed{seed}/weights"),
        cost="<results>/{model}/{arm}/seed{seed}/cost.json",
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/zeroth_order.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/zeroth_order.tsv"
    wildcard_constraints:
        arm=plan.arms.zeroth_order,
    priority: 3
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=plan.settings.gpus,
        gpu_model=plan.gpu_model(plan.settings.gpus),
        gpu_mem_mb=lambda w: plan.memory.zeroth_order(w.model, w.arm).gpu_mem_mb,
        mem_mb=lambda w, attempt: attempt
        * plan.memory.zeroth_order(w.model, w.arm).mem_mb,
        runtime=lambda w, attempt: attempt * plan.runtime.zeroth_order(w.model, w.arm),
    params:
        settings=plan.arms.params,
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}",
    script:
        "../scripts/zeroth_order.py"


# LoX and the controls: a line of JSON or a few factors beside the parent.
rule move:
    input:
        lineage=plan.arms.parent_lineage,
        other=plan.arms.imitated,
    output:
        weights=directory("<results>/{model}/{arm}/seed{seed}/weights"),
        cost="<results>/{model}/{arm}/seed{seed}/cost.json",
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/move.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/move.tsv"
    wildcard_constraints:
        arm=plan.arms.moved,
    priority: 3
    conda:
        "../../envs/model.yaml"
    resources:
        mem_mb=lambda w, attempt: attempt * plan.memory.move(w.model).mem_mb,
        runtime=lambda w, attempt: attempt * plan.runtime.files(w.model),
    params:
        settings=plan.arms.move_params,
    script:
        "../scripts/move.py"


rule factors:
    input:
        aligned=plan.arms.lineage,
        base=lambda w: plan.arms.lineage(At(w.model, w.base, w.seed)),
    output:
        factors=directory("<results>/{model}/{arm}/seed{seed}/factors/{base}"),
        cost="<results>/{model}/{arm}/seed{seed}/factors/{base}.cost.json",
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/factors_{base}.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/factors_{base}.tsv"
    wildcard_constraints:
        arm=plan.arms.factored,
        base=plan.arms.names,
    priority: 3
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=plan.settings.gpus,
        gpu_model=plan.gpu_model(plan.settings.gpus),
        gpu_mem_mb=lambda w: plan.memory.move(w.model).gpu_mem_mb,
        mem_mb=lambda w, attempt: attempt * plan.memory.move(w.model).mem_mb,
        runtime=lambda w, attempt: attempt * plan.runtime.factors(w.model),
    params:
        settings=lambda w: plan.params("factors", plan.arms.factor_rank(w.arm, w.base)),
    script:
        "../scripts/factors.py"


rule export:
    input:
        plan.arms.lineage,
    output:
        directory("<results>/{model}/{arm}/seed{seed}/export"),
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/export.log",
    conda:
        "../../envs/model.yaml"
    resources:
        mem_mb=lambda w, attempt: attempt * plan.memory.files(w.model).mem_mb,
        runtime=lambda w, attempt: attempt * plan.runtime.files(w.model),
    script:
        "../scripts/export.py"


for target, folders in plan.arms.exports().items():

    rule:
        name:
            target
        input:
            folders,
        localrule: True
