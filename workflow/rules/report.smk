rule report:
    input:
        unpack(experiment.inputs("report", ancient)),
    output:
        update("data/report/study={study}/record.json"),
        page=update(
            report(
                "data/report/study={study}/report.html",
                caption="../report/page.rst",
                category="Report",
            )
        ),
        matrix=update(
            report(
                "data/report/study={study}/matrix.svg",
                caption="../report/matrix.rst",
                category="Figures",
            )
        ),
        gains=update(
            report(
                "data/report/study={study}/gains.svg",
                caption="../report/gains.rst",
                category="Figures",
            )
        ),
        traits=update(
            report(
                "data/report/study={study}/traits.svg",
                caption="../report/traits.rst",
                category="Figures",
            )
        ),
        capability=update(
            report(
                "data/report/study={study}/capability.svg",
                caption="../report/capability.rst",
                category="Figures",
            )
        ),
    log:
        ".sublim/log/report/study={study}.log",
    resources:
        mem_mb=1000,
    params:
        reason=experiment.reason("report"),
        cell="report/study={study}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule report_all:
    input:
        experiment.records("report"),
