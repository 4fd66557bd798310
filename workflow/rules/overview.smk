rule overview:
    input:
        unpack(experiment.inputs("overview", ancient)),
    output:
        update("data/overview/record.json"),
        page=update(
            report(
                "data/overview/overview.html",
                caption="../report/overview.rst",
                category="Overview",
            )
        ),
        figures=[
            update(
                report(
                    f"data/overview/{name}.svg",
                    caption=f"../report/{caption}.rst",
                    category="Overview",
                )
            )
            for name, caption in experiment.figures().items()
        ],
    log:
        ".sublim/log/overview.log",
    resources:
        mem_mb=500,
    params:
        reason=experiment.reason("overview"),
        cell="overview",
    message:
        "overview: {params.reason}"
    shell:
        "python -m sublim run {params.cell} > {log} 2>&1"


rule overview_all:
    input:
        experiment.records("overview"),
