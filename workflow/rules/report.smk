rule report:
    input:
        unpack(experiment.inputs("report", ancient)),
    output:
        update("data/report/record.json"),
        page=update(
            report(
                "data/report/report.html",
                caption="../report/page.rst",
                category="Report",
            )
        ),
        matrix=update(
            report(
                "data/report/matrix.svg",
                caption="../report/matrix.rst",
                category="Figures",
            )
        ),
        gains=update(
            report(
                "data/report/gains.svg",
                caption="../report/gains.rst",
                category="Figures",
            )
        ),
        traits=update(
            report(
                "data/report/traits.svg",
                caption="../report/traits.rst",
                category="Figures",
            )
        ),
    log:
        ".sublim/log/report.log",
    resources:
        mem_mb=1000,
    params:
        reason=experiment.reason("report"),
        cell="report",
    message:
        "report: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule report_all:
    input:
        experiment.records("report"),
