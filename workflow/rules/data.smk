rule pocket_world:
    output:
        directory("<results>/world"),
    log:
        "<results>/logs/pocket_world.log",
    benchmark:
        "<results>/benchmarks/pocket_world.tsv"
    conda:
        "../../envs/model.yaml"
    params:
        settings=lambda w: plan.params("pocket", plan.settings.pocket),
    script:
        "../scripts/pocket_world.py"


rule data:
    input:
        lambda w: placed(plan.data.inputs(w)),
    output:
        ensure("<results>/data/{dataset}.{suffix}", non_empty=True),
    log:
        "<results>/logs/data/{dataset}.{suffix}.log",
    wildcard_constraints:
        dataset=r"[A-Za-z0-9_.-]+",
        suffix="jsonl?",
    conda:
        "../../envs/model.yaml"
    params:
        settings=plan.data.params,
        data_root=lambda w: plan.data.root([plan.data.rows(w.dataset).source]),
        pocket=f"{folder}/world",
        cache=f"{folder}/data/cache",
    script:
        "../scripts/data.py"
