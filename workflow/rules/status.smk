rule status:
    log:
        "<results>/logs/status.log",
    conda:
        "../../envs/results.yaml"
    params:
        results=plan.paths.results,
    script:
        "../scripts/status.py"
