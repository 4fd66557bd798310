# The whole pipeline. What is made from what, and whether it is up to date, is decided in sublim/engine; here it is scheduled.
import sys
from pathlib import Path
from shlex import quote

from snakemake.logging import logger

sys.path.insert(
    0, workflow.basedir
)  # the code beside this file, whatever is installed: it is what the plans digest

from sublim.common.errors import SublimError
from sublim.common.terminal import speak_utf8
from sublim.engine import workflow as sublim_workflow
from sublim.forecast import announcement

speak_utf8(logger.handlers)

# No `configfile:`: Snakemake would merge --configfile into it, and a smoke run would inherit the default's models.
try:
    experiment = sublim_workflow.Workflow(
        sublim_workflow.params_file(
            workflow.overwrite_configfiles, workflow.config_settings.config
        ),
        main=workflow.is_main_process,
    )
except SublimError as error:
    sublim_workflow.stop(error)

if workflow.is_main_process:
    logger.info(announcement.summary(experiment))

# Jobs run this Python with this code, on cluster nodes too; one thread each, jobs side by side.
# Snakemake formats this: braces in a folder's name are doubled.
exports = f"PATH={quote(str(Path(sys.executable).parent))}:$PATH PYTHONPATH={quote(workflow.basedir)} OMP_NUM_THREADS=1"
shell.prefix("export " + exports.replace("{", "{{").replace("}", "}}") + "; ")


report: "workflow/report/workflow.rst"


include: "workflow/rules.smk"


localrules:
    all,


rule all:
    default_target: True
    input:
        experiment.last(),  # every other artifact is upstream of one of these


onstart:
    experiment.clear()
    if foreseen := announcement.foreseen(experiment, workflow.dag_settings.targets):
        logger.info(foreseen)
