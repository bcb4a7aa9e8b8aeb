rule preflight:
    log:
        "<results>/logs/preflight.log",
    conda:
        "../../envs/model.yaml"
    script:
        "../scripts/preflight.py"
