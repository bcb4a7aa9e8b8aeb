rule first_order:
    input:
        lineage=lambda w: plan.lineage(w.model, plan.arms[w.arm].parent, w.seed),
        data=lambda w: plan.data(plan.arms[w.arm].data),
        selection=lambda w: plan.arm_selection(w.model, w.arm, w.seed),
    output:
        weights=directory("<results>/{model}/{arm}/seed{seed}/weights"),
        cost="<results>/{model}/{arm}/seed{seed}/cost.json",
        history="<results>/{model}/{arm}/seed{seed}/history.json",
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/first_order.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/first_order.tsv"
    wildcard_constraints:
        arm=plan.first_order_arms,
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
        settings=lambda w: plan.move_params(w.arm),
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}",
    script:
        "../scripts/first_order.py"


rule zeroth_order:
    input:
        lineage=lambda w: plan.lineage(w.model, plan.arms[w.arm].parent, w.seed),
        data=lambda w: plan.data(plan.arms[w.arm].data),
        selection=lambda w: plan.arm_selection(w.model, w.arm, w.seed),
    output:
        weights=directory("<results>/{model}/{arm}/seed{seed}/weights"),
        cost="<results>/{model}/{arm}/seed{seed}/cost.json",
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/zeroth_order.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/zeroth_order.tsv"
    wildcard_constraints:
        arm=plan.zeroth_order_arms,
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
        settings=lambda w: plan.move_params(w.arm),
        scratch=f"{folder}/scratch/{{model}}/{{arm}}/seed{{seed}}",
    script:
        "../scripts/zeroth_order.py"


# LoX and the controls: a line of JSON or a few factors beside the parent.
rule move:
    input:
        lineage=lambda w: plan.lineage(w.model, plan.arms[w.arm].parent, w.seed),
        other=lambda w: plan.imitated(w.model, w.arm, w.seed),
    output:
        weights=directory("<results>/{model}/{arm}/seed{seed}/weights"),
        cost="<results>/{model}/{arm}/seed{seed}/cost.json",
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/move.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/move.tsv"
    wildcard_constraints:
        arm=plan.moved_arms,
    priority: 3
    conda:
        "../../envs/model.yaml"
    resources:
        mem_mb=lambda w, attempt: attempt * plan.memory.move(w.model).mem_mb,
        runtime=lambda w, attempt: attempt * plan.runtime.files(w.model),
    params:
        settings=lambda w: plan.params(
            "move", plan.arms[w.arm].stage, plan.arms[w.arm].move
        ),
    script:
        "../scripts/move.py"


rule factors:
    input:
        aligned=lambda w: plan.lineage(w.model, w.arm, w.seed),
        base=lambda w: plan.lineage(w.model, w.base, w.seed),
    output:
        factors=directory("<results>/{model}/{arm}/seed{seed}/factors/{base}"),
        cost="<results>/{model}/{arm}/seed{seed}/factors/{base}.cost.json",
    log:
        "<results>/logs/{model}/{arm}/seed{seed}/factors_{base}.log",
    benchmark:
        "<results>/benchmarks/{model}/{arm}/seed{seed}/factors_{base}.tsv"
    wildcard_constraints:
        arm=plan.factored_arms,
        base=plan.arm_names,
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
        settings=lambda w: plan.params("factors", plan.factor_rank(w.arm, w.base)),
    script:
        "../scripts/factors.py"


rule export:
    input:
        lambda w: plan.lineage(w.model, w.arm, w.seed),
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


for target, folders in plan.exports().items():

    rule:
        name:
            target
        input:
            folders,
        localrule: True
