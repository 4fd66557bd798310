rule base:
    input:
        unpack(experiment.inputs("base", ancient)),
    output:
        update("data/base/model={model}/record.json"),
    log:
        ".sublim/log/base/model={model}.log",
    message:
        "{params.cell}: {params.reason}"
    params:
        reason=experiment.reason("base"),
        cell="base/model={model}",
    resources:
        mem_mb=1500,
    shell:
        "{SUBLIM} run {params.cell} > {log} 2>&1"


rule base_all:
    input:
        experiment.records("base"),
