rule overview:
    input:
        unpack(experiment.inputs("overview", ancient)),
    output:
        update("data/overview/record.json"),
        page=update(
            report(
                "data/overview/overview.html",
                caption="../report/overview.rst",
                category="Overview",
            )
        ),
        figure=update(
            report(
                "data/overview/overview.svg",
                caption="../report/studies.rst",
                category="Overview",
            )
        ),
    log:
        ".sublim/log/overview.log",
    resources:
        mem_mb=500,
    params:
        reason=experiment.reason("overview"),
        cell="overview",
    message:
        "overview: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule overview_all:
    input:
        experiment.records("overview"),
