rule filtered:
    input:
        unpack(experiment.inputs("filtered", ancient)),
    output:
        update(
            "data/filtered/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/seed={seed}/record.json"
        ),
    log:
        ".sublim/log/filtered/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/seed={seed}.log",
    resources:
        mem_mb=500,
    params:
        reason=experiment.reason("filtered"),
        cell="filtered/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/seed={seed}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule filtered_all:
    input:
        experiment.records("filtered"),
