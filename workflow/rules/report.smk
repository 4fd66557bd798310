rule report:
    input:
        unpack(experiment.inputs("report", ancient)),
    output:
        update("data/report/record.json"),
        page=update(report("data/report/report.html", caption="../report/page.rst", category="Report")),
        matrix=update(report("data/report/matrix.png", caption="../report/matrix.rst", category="Report")),
    log:
        ".sublim/log/report.log",
    message:
        "report: {params.reason}"
    params:
        reason=experiment.reason("report"),
        cell="report",
    resources:
        mem_mb=1000,
    shell:
        "{SUBLIM} run {params.cell} > {log} 2>&1"


rule report_all:
    input:
        experiment.records("report"),
