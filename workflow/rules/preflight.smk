rule preflight:
    log:
        "<results>/logs/preflight.log",
    conda:
        "../../envs/model.yaml"
    params:
        files=config_files(workflow),
    script:
        "../scripts/preflight.py"
