rule detection:
    input:
        unpack(experiment.inputs("detection", ancient)),
    output:
        update("data/detection/study={study}/record.json"),
        page=update(
            report(
                "data/detection/study={study}/detection.html",
                caption="../report/detection.rst",
                category="Detection",
            )
        ),
    log:
        ".sublim/log/detection/study={study}.log",
    resources:
        mem_mb=1500,
    params:
        reason=experiment.reason("detection"),
        cell="detection/study={study}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule detection_all:
    input:
        experiment.records("detection"),
