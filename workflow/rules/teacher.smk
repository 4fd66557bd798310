rule teacher:
    input:
        unpack(experiment.inputs("teacher", ancient)),
    output:
        update("data/teacher/teacher={teacher}/trait={trait}/seed={seed}/record.json"),
    log:
        ".sublim/log/teacher/teacher={teacher}/trait={trait}/seed={seed}.log",
    message:
        "{params.cell}: {params.reason}"
    params:
        reason=experiment.reason("teacher"),
        cell="teacher/teacher={teacher}/trait={trait}/seed={seed}",
    resources:
        mem_mb=1000,
    shell:
        "{SUBLIM} run {params.cell} > {log} 2>&1"


rule teacher_all:
    input:
        experiment.records("teacher"),
