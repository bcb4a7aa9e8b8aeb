rule table:
    input:
        parts=plan.results.of_table,
        published=plan.results.published,
        behaviors=plan.results.behaviors,
    output:
        csv=ensure("<results>/tables/{table}.csv", non_empty=True),
        markdown="<results>/tables/{table}.md",
        latex="<results>/tables/{table}.tex",
        text="<results>/tables/{table}.txt",
        html=report(
            "<results>/tables/{table}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
    log:
        "<results>/logs/tables/{table}.log",
    conda:
        "../../envs/results.yaml"
    params:
        settings=plan.results.table_params,
    script:
        "../scripts/table.py"


rule figure:
    input:
        plan.results.of_figure,
    output:
        svg=report(
            "<results>/figures/{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        png="<results>/figures/{figure}.png",
    log:
        "<results>/logs/figures/{figure}.log",
    conda:
        "../../envs/results.yaml"
    params:
        settings=plan.results.figure_params,
    script:
        "../scripts/figure.py"


rule tables:
    input:
        expand("<results>/tables/{table}.csv", table=plan.settings.tables),


rule figures:
    input:
        expand("<results>/figures/{figure}.svg", figure=plan.settings.figures),


for name in plan.settings.tables:

    rule:
        name:
            name
        input:
            f"<results>/tables/{name}.csv",
        localrule: True


for name in plan.settings.figures:

    rule:
        name:
            name
        input:
            f"<results>/figures/{name}.svg",
        localrule: True
