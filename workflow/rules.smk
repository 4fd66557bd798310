# One rule for each stage (sublim/lists.py), and one that asks for all artifacts of it. What a rule looks like, for filtered rows:
#
#   rule filtered:
#       input:   .sublim/plan/filtered/teacher=…/….json    the verdict: older than everything if the artifact is valid, else new
#                data/raw/teacher=…/…/record.json          the record of what it is made from; `ancient` if that is valid
#       output:  data/filtered/teacher=…/…/record.json     written last, when the tables beside it are whole
#       shell:   python -m sublim run filtered/teacher=…   restores what the store has, else computes
for stage in experiment.stages():

    rule:
        name:
            stage.name
        input:
            unpack(experiment.inputs(stage.name, ancient)),
        output:
            update(f"data/{experiment.path(stage)}/record.json"),
            [
                update(
                    report(
                        f"data/{experiment.path(stage)}/{name}",
                        caption=f"report/{figure.caption}.rst",
                        category=figure.category,
                    )
                )
                for name, figure in experiment.figures(stage).items()
            ],
        log:
            f".sublim/log/{experiment.path(stage)}.log",
        resources:
            mem_mb=stage.memory_mb,
        params:
            reason=experiment.reason(stage.name),
            cell=experiment.path(stage),
            launched=experiment.launched,
        message:
            "{params.cell}: {params.reason}"
        shell:
            "{params.launched}python -m sublim run {params.cell} > {log} 2>&1"

    rule:
        name:
            f"{stage.name}_all"
        input:
            experiment.records(stage.name),
