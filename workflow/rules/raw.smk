rule raw:
    input:
        unpack(experiment.inputs("raw", ancient)),
    output:
        update(
            "data/raw/teacher={teacher}/trait={trait}/carrier={carrier}/seed={seed}/record.json"
        ),
    log:
        ".sublim/log/raw/teacher={teacher}/trait={trait}/carrier={carrier}/seed={seed}.log",
    resources:
        mem_mb=1200,
    params:
        reason=experiment.reason("raw"),
        cell="raw/teacher={teacher}/trait={trait}/carrier={carrier}/seed={seed}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule raw_all:
    input:
        experiment.records("raw"),
