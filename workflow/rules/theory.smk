rule theory:
    input:
        unpack(experiment.inputs("theory", ancient)),
    output:
        update("data/theory/of={of}/record.json"),
    log:
        ".sublim/log/theory/of={of}.log",
    resources:
        mem_mb=1000,
    params:
        reason=experiment.reason("theory"),
        cell="theory/of={of}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule theory_all:
    input:
        experiment.records("theory"),
