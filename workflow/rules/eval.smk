rule eval:
    input:
        unpack(experiment.inputs("eval", ancient)),
    output:
        update(
            "data/eval/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/method={method}/student={student}/seed={seed}/record.json"
        ),
    log:
        ".sublim/log/eval/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/method={method}/student={student}/seed={seed}.log",
    resources:
        mem_mb=1000,
    params:
        reason=experiment.reason("eval"),
        cell="eval/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/method={method}/student={student}/seed={seed}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule eval_all:
    input:
        experiment.records("eval"),
