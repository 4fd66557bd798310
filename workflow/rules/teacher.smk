rule teacher:
    input:
        unpack(experiment.inputs("teacher", ancient)),
    output:
        update("data/teacher/teacher={teacher}/trait={trait}/seed={seed}/record.json"),
    log:
        ".sublim/log/teacher/teacher={teacher}/trait={trait}/seed={seed}.log",
    resources:
        mem_mb=1000,
    params:
        reason=experiment.reason("teacher"),
        cell="teacher/teacher={teacher}/trait={trait}/seed={seed}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule teacher_all:
    input:
        experiment.records("teacher"),
