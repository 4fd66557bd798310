rule student:
    input:
        unpack(experiment.inputs("student", ancient)),
    output:
        update("data/student/teacher={teacher}/trait={trait}/arm={arm}/student={student}/seed={seed}/record.json"),
    log:
        ".sublim/log/student/teacher={teacher}/trait={trait}/arm={arm}/student={student}/seed={seed}.log",
    message:
        "{params.cell}: {params.reason}"
    params:
        reason=experiment.reason("student"),
        cell="student/teacher={teacher}/trait={trait}/arm={arm}/student={student}/seed={seed}",
    resources:
        mem_mb=1200,
    shell:
        "{SUBLIM} run {params.cell} > {log} 2>&1"


rule student_all:
    input:
        experiment.records("student"),
