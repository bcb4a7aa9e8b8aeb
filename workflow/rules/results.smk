rule table:
    input:
        parts=lambda w: plan.table_inputs(w.table),
        published=lambda w: plan.published(w.table),
        behaviors=lambda w: plan.table_behaviors(w.table),
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
        settings=lambda w: plan.params(
            "table",
            plan.settings.tables[w.table],
            plan.labels,
            plan.shows_untrained(w.table),
        ),
    script:
        "../scripts/table.py"


rule figure:
    input:
        lambda w: plan.figure_inputs(w.figure),
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
        settings=lambda w: plan.params(
            "figure", plan.settings.figures[w.figure], plan.labels, plan.meaningless
        ),
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
