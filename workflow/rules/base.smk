rule base:
    input:
        unpack(experiment.inputs("base", ancient)),
    output:
        update("data/base/model={model}/record.json"),
    log:
        ".sublim/log/base/model={model}.log",
    resources:
        mem_mb=1500,
    params:
        reason=experiment.reason("base"),
        cell="base/model={model}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule base_all:
    input:
        experiment.records("base"),
