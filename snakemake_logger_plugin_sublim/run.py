"""What has happened in a run so far, from Snakemake's log records, and how long the rest may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from logging import LogRecord
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

INTERRUPTED = "Terminating processes on user request"
"""How Snakemake says that it was interrupted; after that, jobs do not fail, they are stopped."""


@dataclass(frozen=True)
class Job:
    """One job that Snakemake has started, or in a dry run would start. Times are seconds since the epoch."""

    stage: str
    cell: str
    reason: str
    started: float
    ended: float | None = None
    failed: bool = False

    @property
    def running(self) -> bool:
        """Whether it has neither finished nor failed."""
        return self.ended is None and not self.failed


@dataclass(frozen=True)
class Run:
    """A run of Snakemake."""

    totals: Mapping[str, int] = field(default_factory=dict[str, int])
    """Stage → jobs to run, in the order of the pipeline."""
    jobs: Mapping[int, Job] = field(default_factory=dict[int, Job])
    """Snakemake's number of the job → the job."""
    peak: int = 0
    """The most jobs that ran at the same time."""
    interrupted: bool = False
    """Whether a person has asked to stop."""
    over: bool = False
    """Whether nothing runs any more."""
    order: Sequence[str] = ()
    """The stages, in the order of the pipeline."""

    def of(self, stage: str | None = None) -> list[Job]:
        """The jobs of a stage, or all, in the order in which they started."""
        return [job for job in self.jobs.values() if stage in (None, job.stage)]

    def running(self, stage: str | None = None) -> list[Job]:
        """Those that run, the longest running first."""
        return [job for job in self.of(stage) if job.running]

    def done(self, stage: str | None = None) -> int:
        """How many have finished well."""
        return sum(job.ended is not None for job in self.of(stage))

    def failed(self, stage: str | None = None) -> int:
        """How many have failed, and were not started again."""
        return sum(job.failed for job in self.of(stage))

    @property
    def total(self) -> int:
        """How many jobs there are to run."""
        return sum(self.totals.values())


def follow(run: Run, record: LogRecord) -> Run:
    """The run after what `record` tells. Rules that only name targets (`all`, `…_all`) do nothing and are not counted."""
    said = vars(record)
    match said.get("event"):
        case LogEvent.RUN_INFO:
            return replace(run, totals=_totals(said["stats"], run.order))
        case LogEvent.JOB_INFO if not _is_target(said["rule_name"]):
            others = {key: job for key, job in run.jobs.items() if key != said["jobid"]}
            after = replace(run, jobs={**others, said["jobid"]: _job(said, record.created)})
            return replace(after, peak=max(run.peak, len(after.running())))
        case LogEvent.JOB_FINISHED:
            return _change(run, said["job_id"], ended=record.created)
        case LogEvent.JOB_ERROR if run.interrupted:
            return replace(run, jobs={key: job for key, job in run.jobs.items() if key != said["jobid"]})
        case LogEvent.JOB_ERROR:
            return _change(run, said["jobid"], failed=True)
        case None if str(record.msg).startswith(INTERRUPTED):
            return replace(run, interrupted=True)
        case _:
            return run


def ended(run: Run) -> Run:
    """The run when nothing runs any more, however it came to that."""
    return replace(run, jobs={key: job for key, job in run.jobs.items() if not job.running}, over=True)


def seconds_left(run: Run, now: float) -> tuple[float, bool] | None:
    """How long the rest may take, and whether that is (almost) all of it; None if nothing is known.

    A stage's jobs are taken to last as long as those that have finished did on average, and as many of them to run side by side
    as have done so in this run; a stage of which none has finished is left out.
    """
    left, unknown = 0.0, 0
    for stage, total in run.totals.items():
        remaining = total - run.done(stage) - run.failed(stage)
        lasted = [job.ended - job.started for job in run.of(stage) if job.ended is not None]
        if remaining > 0 and lasted:
            mean = sum(lasted) / len(lasted)
            spent = sum(min(now - job.started, mean) for job in run.running(stage))
            left += (remaining * mean - spent) / min(run.peak, remaining)
        elif remaining > 0:
            unknown += remaining
    return None if run.over or left <= 0 else (left, unknown * 50 <= run.total)


def _totals(stats: Mapping[str, int], order: Sequence[str]) -> dict[str, int]:
    names = [*(stage for stage in order if stage in stats), *(name for name in stats if name not in order)]
    return {name: stats[name] for name in names if name != "total" and not _is_target(name)}


def _is_target(rule: str) -> bool:
    return rule == "all" or rule.endswith("_all")


def _job(said: Mapping[str, Any], now: float) -> Job:
    if said["rule_msg"]:  # the pipeline's rules say `cell: reason`
        cell, _, reason = said["rule_msg"].partition(": ")
    else:
        cell = "/".join([said["rule_name"], *(f"{name}={value}" for name, value in said["wildcards"].items())])
        reason = said["reason"]
    return Job(said["rule_name"], cell, reason, now)


def _change(run: Run, jobid: int, **changes: Any) -> Run:
    return replace(run, jobs={**run.jobs, jobid: replace(run.jobs[jobid], **changes)}) if jobid in run.jobs else run
