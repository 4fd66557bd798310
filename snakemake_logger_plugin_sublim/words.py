"""The summary in plain words: what is to be done, how far it is, what failed, how it ended."""

from collections.abc import Mapping, Sequence
from typing import Any

from snakemake_logger_plugin_sublim.run import Job, Run


def duration(seconds: float) -> str:
    """`8 s`, `1 min 12 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def left(estimate: tuple[float, bool] | None) -> str:
    """`about 4 min left`, `at least 40 s left`, or nothing where nothing is known. No finer than the estimate deserves."""
    if estimate is None:
        return ""
    seconds, complete = estimate
    step = 1 if seconds < 20 else 10 if seconds < 120 else 60
    rough = duration(max(round(seconds / step), 1) * step).removesuffix(" 0 s")
    return f"{'about' if complete else 'at least'} {rough} left"


def jobs(count: int) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count} job{'' if count == 1 else 's'}"


def to_do(run: Run) -> str:
    """`325 jobs: 3 base, 18 teacher, …`."""
    return f"{jobs(run.total)}: {', '.join(f'{count} {stage}' for stage, count in run.totals.items())}"


def stage(run: Run, name: str) -> str:
    """`teacher 12/18 (4 running, 1 failed)`."""
    counts = [(len(run.running(name)), "running"), (run.failed(name), "failed")]
    notes = ", ".join(f"{count} {what}" for count, what in counts if count)
    return f"{name} {run.done(name)}/{run.totals[name]}" + (f" ({notes})" if notes else "")


def counts(run: Run, elapsed: float, estimate: tuple[float, bool] | None) -> str:
    """How far all stages are, in a line."""
    parts = ", ".join(stage(run, name) for name in run.totals)
    return "; ".join(filter(None, [f"{duration(elapsed)}: {parts}", left(estimate)]))


def dry_run(run: Run) -> str:
    """Every job that would run, with its reason, and the totals."""
    lines: list[str] = []
    for name, count in run.totals.items():
        found = sorted(run.of(name), key=lambda job: job.cell)
        lines += [f"{name}: {jobs(count)}", *(f"  {job.cell}: {job.reason}" for job in found)]
    return "\n".join([*lines, f"This was a dry run: nothing was done. To do: {to_do(run)}"])


def failure(job: Job | None, said: Mapping[str, Any], logs: Mapping[str, Sequence[str]]) -> str:
    """A failed job: its cell, what Snakemake says of it, the last lines of each of its logs (path → lines)."""
    lines = [f"failed: {job.cell if job else said['rule_name']} (rule {said['rule_name']}, job {said['jobid']})"]
    more = {"message": said["rule_msg"], "conda-env": said["conda_env"], **said["aux"]}
    lines += [f"  {name}: {value}" for name, value in more.items() if value]
    for path, end in logs.items():
        lines += [f"  log: {path} ({'its end:' if end else 'empty or missing'})", *(f"  | {line}" for line in end)]
    return "\n".join(lines)


def ending(run: Run, elapsed: float, actions: Mapping[str, int]) -> str:
    """`done: 3 computed, 2 restored, 1 already valid in 12 s`, or what is missing and how to go on."""
    kinds = {"computed": "computed", "restored": "restored", "valid": "already valid"}
    found = f"{', '.join(f'{actions.get(action, 0)} {what}' for action, what in kinds.items())} in {duration(elapsed)}"
    failed, rest = run.failed(), run.total - run.done() - run.failed()
    if not failed and rest <= 0:
        return f"done: {found}"
    what = f"failed: {jobs(failed)}, and {rest} not done" if failed else f"stopped: {rest} of {jobs(run.total)} not done"
    return f"{what}; the same command goes on from here\nso far: {found}"
