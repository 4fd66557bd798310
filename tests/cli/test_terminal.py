"""The live summary: what it shows of a run, and that it never stands in the way of one."""

import io
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import OutputSettingsLoggerInterface

from snakemake_logger_plugin_sublim import LogHandler, files, words
from snakemake_logger_plugin_sublim.run import INTERRUPTED, Job, Run, ended, follow, seconds_left
from snakemake_logger_plugin_sublim.screen import screen
from sublim.engine import layout, workflow
from sublim.engine.stage import stages

STUDENT = "student/teacher=neox-a/trait=fox/carrier=numbers/filter=strict/arm=trait/method=hard/student=neox-b/seed=1"


class Settings(OutputSettingsLoggerInterface):
    def __init__(self, *, dryrun: bool = False, quiet: tuple[str, ...] = ()) -> None:
        self.printshellcmds = self.nocolor = self.debug_dag = self.verbose = False
        self.show_failed_logs = True
        self.quiet = quiet
        self.stdout = self.dryrun = dryrun


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Stream(io.StringIO):
    encoding = "utf-8"


def said(
    event: LogEvent | None = None, message: str | None = None, level: int = logging.INFO, **fields: Any
) -> logging.LogRecord:
    record = {"event": event} if event else {}
    return logging.makeLogRecord({"msg": message, "levelno": level, "created": time.time(), **record, **fields})


def totals(**stats: int) -> logging.LogRecord:
    return said(LogEvent.RUN_INFO, stats={**stats, "all": 1, "total": sum(stats.values()) + 1})


def info(jobid: int, cell: str, reason: str = "it does not exist yet", **fields: Any) -> logging.LogRecord:
    rule = cell.partition("/")[0]
    return said(
        LogEvent.JOB_INFO, jobid=jobid, rule_name=rule, rule_msg=f"{cell}: {reason}", reason="-", wildcards={}, **fields
    )


def finished(jobid: int, **fields: Any) -> logging.LogRecord:
    return said(LogEvent.JOB_FINISHED, job_id=jobid, **fields)


def failed(jobid: int, rule: str, log: Path) -> logging.LogRecord:
    rest: dict[str, Any] = {"rule_msg": None, "conda_env": None, "aux": {"external_jobid": "17"}}
    return said(LogEvent.JOB_ERROR, "Error", logging.ERROR, jobid=jobid, rule_name=rule, log=[str(log)], **rest)


def run_of(*records: logging.LogRecord) -> Run:
    run = Run()
    for record in records:
        run = follow(run, record)
    return run


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def tell(*records: logging.LogRecord, settings: Settings | None = None) -> None:
    handler = LogHandler(settings or Settings(), None)
    for record in records:
        handler.handle(record)
    handler.close()
    handler.close()


def test_it_agrees_with_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (files.PROGRESS, files.HISTORY) == (layout.PROGRESS, layout.HISTORY)
    assert files.PLANNED.parent == layout.PLANS
    assert files.stages(tmp_path) == ()
    monkeypatch.chdir(tmp_path)
    workflow._write_state(Path("params.yaml"))  # pyright: ignore[reportPrivateUsage]
    assert files.stages(tmp_path) == tuple(stages())
    assert files.OVERVIEW.parent == layout.artifact("overview")


def test_targets_and_the_sum_are_no_stages() -> None:
    stats = {"raw": 2, "teacher": 1, "student_all": 1, "other": 3, "all": 1, "total": 8}
    run = follow(Run(order=tuple(stages())), said(LogEvent.RUN_INFO, stats=stats))
    assert list(run.totals.items()) == [("teacher", 1), ("raw", 2), ("other", 3)]


def test_a_job_that_failed_and_is_started_again_is_no_failure(tmp_path: Path) -> None:
    run = run_of(totals(raw=1), info(3, "raw/teacher=a/trait=fox/carrier=numbers/seed=1"), failed(3, "raw", tmp_path))
    assert (run.failed(), len(run.running())) == (1, 0)
    run = follow(run, info(3, "raw/teacher=a/trait=fox/carrier=numbers/seed=1"))
    assert (run.failed(), len(run.running())) == (0, 1)


def test_a_rule_without_a_message_is_named_by_its_wildcards() -> None:
    reason = "Missing output files: x"
    record = said(LogEvent.JOB_INFO, jobid=1, rule_msg=None, rule_name="plot", wildcards={"model": "a"}, reason=reason)
    run = run_of(record)
    assert run.jobs[1].cell == "plot/model=a"
    assert run.jobs[1].reason == reason


def test_time_left_is_honest() -> None:
    done = {key: Job("raw", f"raw/{key}", "", 0, 10) for key in range(2)}
    run = Run({"raw": 6, "eval": 1}, done | {2: Job("raw", "raw/2", "", 10)}, peak=2)
    assert seconds_left(run, 15) == ((4 * 10 - 5) / 2, False)
    assert seconds_left(Run({"raw": 100, "report": 1}, done, peak=2), 15) == (98 * 10 / 2, True)
    assert seconds_left(Run({"raw": 6}), 15) is None
    assert seconds_left(ended(run), 15) is None
    assert words.left((17.5, False)) == "at least 18 s left"
    assert words.left((244, True)) == "about 4 min left"
    assert words.left(None) == ""


def test_a_run_in_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    layout.HISTORY.parent.mkdir()
    line = json.dumps({"time": 1, "cell": STUDENT, "action": "restored", "seconds": 1}) + "\n"
    layout.HISTORY.write_text(line)
    handler = LogHandler(Settings(), None)
    for record in (said(None, "Building DAG of jobs..."), totals(student=1, overview=1), info(1, STUDENT), finished(1)):
        handler.handle(record)
    with layout.HISTORY.open("a") as history:
        history.write(line.replace("restored", "computed") + line + "cut off")
    layout.artifact("overview").mkdir(parents=True)
    files.OVERVIEW.write_text("")
    for record in (info(2, "overview"), finished(2), said(None, "Elapsed time: 0:00:01"), said(None, "A remark")):
        handler.handle(record)
    handler.close()
    assert capsys.readouterr().err.splitlines() == [
        "2 jobs: 1 student, 1 overview",
        "0 s: student 1/1",
        "0 s: overview 1/1",
        "A remark",
        "done: 1 computed, 1 restored, 0 already valid in 0 s",
        "overview: data/overview/overview.html",
    ]


def test_a_dry_run_lists_every_job_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    records = [info(1, "report", "it follows " + STUDENT), info(2, STUDENT, "its plan has changed: a: 1 → 2")]
    tell(totals(student=1, report=1), *records, said(None, "This was a dry-run (flag -n)."), settings=Settings(dryrun=True))
    assert capsys.readouterr().out.splitlines() == [
        "student: 1 job",
        f"  {STUDENT}: its plan has changed: a: 1 → 2",
        "report: 1 job",
        f"  report: it follows {STUDENT}",
        "This was a dry run: nothing was done. To do: 2 jobs: 1 student, 1 report",
    ]


def test_a_failed_job_shows_the_end_of_its_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "student.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    missing = tmp_path / "none.log"
    tell(
        totals(student=2, report=1),
        info(1, STUDENT),
        info(2, STUDENT),
        failed(1, "student", log),
        failed(2, "student", missing),
    )
    shown = capsys.readouterr().err
    assert f"failed: {STUDENT} (rule student, job 1)\n  external_jobid: 17\n  log: {log} (its end:)\n  | line 80\n" in shown
    assert "| line 99\n" in shown
    assert f"log: {missing} (empty or missing)" in shown
    assert "failed: 2 jobs, and 1 not done; the same command goes on from here" in shown


def test_interrupted_jobs_did_not_fail(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    error = said(LogEvent.ERROR, "died with SIGINT", logging.ERROR, exception="RuleException")
    interrupt = said(None, f"{INTERRUPTED}, this might take some time.")
    tell(totals(student=2), info(1, STUDENT), interrupt, error, failed(1, "student", tmp_path / "log"))
    shown = capsys.readouterr().err
    assert "SIGINT" not in shown
    assert "stopped: 2 of 2 jobs not done" in shown


def test_errors_warnings_and_unknown_remarks_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    error = said(
        LogEvent.ERROR, "MissingInputException in rule y:\n    nowhere", logging.ERROR, exception="MissingInputException"
    )
    warning = said(None, "None of these is chatter in a warning", logging.WARNING)
    tell(error, warning, said(None, "Nothing to be done (all requested files are present and up to date)."))
    assert capsys.readouterr().err.splitlines()[1:] == [
        "    nowhere",
        warning.msg,
        "Nothing to be done (all requested files are present and up to date).",
    ]


@pytest.mark.parametrize("quiet", ["RULES", "PROGRESS", "ALL"])
def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str], quiet: str) -> None:
    tell(totals(student=1), info(1, STUDENT), finished(1), settings=Settings(quiet=(quiet,)))
    assert capsys.readouterr().err == ""


def test_what_goes_wrong_inside_goes_on_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    incomplete = said(LogEvent.JOB_FINISHED, "Finished jobid: 1")
    tell(totals(student=1), incomplete, said(None, "A remark"))
    assert "the summary of the run failed (KeyError: 'job_id')" in stream.getvalue()
    assert stream.getvalue().endswith("Finished jobid: 1\nA remark\n")


def test_a_reader_that_has_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    handler = LogHandler(Settings(), None)
    stream.close()
    handler.handle(totals(student=1))
    handler.handle(info(1, STUDENT))
    handler.close()


@pytest.mark.parametrize("width", [30, 52, 80, 120, 250])
@pytest.mark.parametrize("height", [5, 14, 50])
def test_the_screen_fits(width: int, height: int) -> None:
    names = [
        f"student/teacher=neox-a/trait=fox/carrier=numbers/filter=strict/arm=shuffled_within/method=hard/student=neox-b/seed={seed}"
        for seed in range(20)
    ]
    run = run_of(totals(base=3, student=108, report=1), *(info(key, name) for key, name in enumerate(names)), finished(0))
    view = screen(run, 0, 100, lambda _: "fine-tune 120/200 step, 43,210 tokens/s, 3 s left, loss [1.23]", width, height)
    lines = view.plain.splitlines()
    assert all(len(line) < width for line in lines)
    assert len(lines) <= max(height, 5)
    assert lines[0].startswith("1 of 112 jobs done")
    assert "more running" in lines[-1]
    if width == 120 and height == 50:
        assert lines[2] == "  student   " + "━" * 4 + "─" * 20 + "   1/108  19 running"
        job = "student neox-a/fox/numbers/strict/shuffled_within/hard/neox-b/1"
        assert lines[4] == f"  {job}  fine-tune 120/200 step, 43,210 tokens/s, 3 s left, …"


def test_heartbeats(tmp_path: Path) -> None:
    path = tmp_path / files.PROGRESS / f"{STUDENT.replace('/', '+')}.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"line": "fine-tune 1/2\nstep"}))
    assert files.heartbeat(tmp_path, STUDENT, 0) == "fine-tune 1/2 step"
    assert files.heartbeat(tmp_path, STUDENT, time.time() + 60) == ""
    assert files.heartbeat(tmp_path, "report", 0) == ""
    path.write_text("[")
    assert files.heartbeat(tmp_path, STUDENT, 0) == ""


def test_a_terminal_is_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    tell(totals(student=2), info(1, STUDENT), said(None, "a warning [red]", logging.WARNING), finished(1))
    shown = stream.getvalue()
    assert "summary of the run failed" not in shown
    assert "a warning [red]" in shown
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    assert "stopped: 1 of 2 jobs not done" in shown
    assert sys.stderr is stream


SNAKEFILE = """
rule all:
    input: "data/report/study=numbers/record.json"
rule base:
    output: "data/base/model=a/record.json"
    log: "base.log"
    message: "base/model=a: it does not exist yet"
    shell: "mkdir -p .sublim; echo '{{\\"action\\": \\"computed\\"}}' >> .sublim/history.jsonl; touch {output}"
rule report:
    input: "data/base/model=a/record.json"
    output: "data/report/study=numbers/record.json"
    log: "report.log"
    message: "report: it does not exist yet"
    shell: "(echo too weak; exit 1) > {log}"
"""


def test_with_snakemake_itself(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def snakemake(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--logger", "sublim", "-c1", *arguments]
        found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return found.stdout + found.stderr

    planned = snakemake("-n")
    assert "  base/model=a: it does not exist yet\n" in planned
    assert planned.strip().endswith("This was a dry run: nothing was done. To do: 2 jobs: 1 base, 1 report")
    ran = snakemake()
    assert "failed: report (rule report, job 1)\n  log: report.log (its end:)\n  | too weak\n" in ran
    assert "WorkflowError:\nAt least one job did not complete successfully." in ran
    assert "so far: 1 computed, 0 restored, 0 already valid in " in ran
    assert "\x1b" not in planned + ran
