rule eval:
    input:
        unpack(experiment.inputs("eval", ancient)),
    output:
        update("data/eval/teacher={teacher}/trait={trait}/arm={arm}/student={student}/seed={seed}/record.json"),
    log:
        ".sublim/log/eval/teacher={teacher}/trait={trait}/arm={arm}/student={student}/seed={seed}.log",
    message:
        "{params.cell}: {params.reason}"
    params:
        reason=experiment.reason("eval"),
        cell="eval/teacher={teacher}/trait={trait}/arm={arm}/student={student}/seed={seed}",
    resources:
        mem_mb=1000,
    shell:
        "{SUBLIM} run {params.cell} > {log} 2>&1"


rule eval_all:
    input:
        experiment.records("eval"),
