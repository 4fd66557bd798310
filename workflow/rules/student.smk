rule student:
    input:
        unpack(experiment.inputs("student", ancient)),
    output:
        update(
            "data/student/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/method={method}/student={student}/seed={seed}/record.json"
        ),
    log:
        ".sublim/log/student/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/method={method}/student={student}/seed={seed}.log",
    resources:
        mem_mb=1200,
    params:
        reason=experiment.reason("student"),
        cell="student/teacher={teacher}/trait={trait}/carrier={carrier}/filter={filter}/arm={arm}/method={method}/student={student}/seed={seed}",
    message:
        "{params.cell}: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule student_all:
    input:
        experiment.records("student"),
