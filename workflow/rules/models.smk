rule base_model:
    input:
        lambda w: plan.models.inputs(plan.settings.models[w.model]),
    output:
        directory("<results>/models/{model}"),
    log:
        "<results>/logs/base_model/{model}.log",
    benchmark:
        "<results>/benchmarks/base_model/{model}.tsv"
    localrule: plan.models.only_fetched(plan.settings.models)
    conda:
        "../../envs/model.yaml"
    threads: 1
    resources:
        gpu=lambda w: plan.models.gpus_to_make(plan.settings.models[w.model]),
        runtime=lambda w, attempt: attempt * plan.runtime.files(w.model),
    params:
        settings=lambda w: plan.models.params(plan.settings.models[w.model]),
        scratch=f"{folder}/scratch/models/{{model}}",
        setting="models.{model}",
        tokenizer="chat",
    script:
        "../scripts/model.py"


rule judge_model:
    input:
        lambda w: plan.models.inputs(plan.settings.judges[w.judge].model),
    output:
        directory("<results>/judges/{judge}"),
    log:
        "<results>/logs/judge_model/{judge}.log",
    benchmark:
        "<results>/benchmarks/judge_model/{judge}.tsv"
    localrule: plan.models.only_fetched(plan.settings.judge_models)
    conda:
        "../../envs/model.yaml"
    resources:
        gpu=lambda w: plan.models.gpus_to_make(plan.settings.judges[w.judge].model),
    params:
        settings=lambda w: plan.models.params(plan.settings.judges[w.judge].model),
        scratch=f"{folder}/scratch/judges/{{judge}}",
        setting="judges.{judge}.model",
        tokenizer="plain",
    script:
        "../scripts/model.py"
