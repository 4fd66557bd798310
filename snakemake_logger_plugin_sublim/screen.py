"""The live view: a line per stage and a line per running job, drawn for a terminal's size."""

from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from snakemake_logger_plugin_sublim import words
from snakemake_logger_plugin_sublim.run import Job, Run, seconds_left

MOST_JOBS = 8
BAR, BAR_LEAST = 24, 5


def console(stream: TextIO, *, color: bool) -> Console:
    """A console that shows text as it is."""
    return Console(file=stream, no_color=None if color else True, highlight=False, markup=False, emoji=False)


def screen(run: Run, began: float, now: float, beat: Callable[[Job], str], width: int, height: int) -> Text:
    """The whole view, fit for `width` columns and `height` lines; `beat` tells what a running job last said."""
    running = run.running()
    shown = running[: max(0, min(MOST_JOBS, height - len(run.totals) - 4))]
    column = min(max((len(label(job)) for job in shown), default=0), width * 5 // 9)
    lines = [header(run, now - began, seconds_left(run, now)), *(stage(run, name, width) for name in run.totals)]
    lines += [running_job(job, beat(job), now, column) for job in shown]
    if more := len(running) - len(shown):
        lines.append(Text(f"  and {more} more running", "dim"))
    for line in lines:
        line.truncate(width - 1, overflow="ellipsis")
    return Text("\n", no_wrap=True, end="").join(lines)


def header(run: Run, elapsed: float, estimate: tuple[float, bool] | None) -> Text:
    """`12 of 325 jobs done, 1 failed, 1 min 12 s, about 4 min left`."""
    line = Text.assemble((f"{run.done()} of {words.jobs(run.total)} done", "bold"))
    if failed := run.failed():
        line.append(", ").append(f"{failed} failed", "bold red")
    for part in filter(None, [words.duration(elapsed), words.left(estimate)]):
        line.append(f", {part}")
    return line


def stage(run: Run, name: str, width: int) -> Text:
    """`student   ━━━━━━━━──────── 12/108  8 running  1 failed`."""
    done, failed, running, total = run.done(name), run.failed(name), len(run.running(name)), run.totals[name]
    cells = max(BAR_LEAST, min(BAR, width - 46))
    ends = [cells * part // max(total, 1) for part in (done, done + failed, done + failed + running)]
    line = Text.assemble(f"  {name:<9} ", ("━" * ends[0], "green"), ("━" * (ends[1] - ends[0]), "red"))
    line.append("━" * (ends[2] - ends[1]), "yellow").append("─" * (cells - ends[2]), "dim")
    line.append(f" {f'{done}/{total}':>7}", "green" if done == total else "")
    for count, what, style in ((running, "running", "yellow"), (failed, "failed", "bold red")):
        if count:
            line.append(f"  {count} {what}", style)
    return line


def running_job(job: Job, beat: str, now: float, column: int) -> Text:
    """The cell and what it last said, or for how long it has been running."""
    name = Text(label(job), "cyan")
    name.truncate(column, overflow="ellipsis", pad=True)
    return Text.assemble("  ", name, "  ", beat or (words.duration(max(now - job.started, 0)), "dim"))


def label(job: Job) -> str:
    """The cell without the names of its dimensions: `student neox-a/fox/numbers/strict/trait/hard/neox-b/1`."""
    first, *dims = job.cell.split("/")
    return f"{first} {'/'.join(dim.partition('=')[2] or dim for dim in dims)}".strip()
