"""The live summary of a run, as a logger plugin of Snakemake (`logger: sublim` in the profile).

On a terminal it draws where the run is; elsewhere it writes a plain line now and then. All that Snakemake says is in its own
log file in .snakemake/log.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from logging import ERROR, INFO, WARNING, LogRecord
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_sublim import files, words
from snakemake_logger_plugin_sublim.run import Run, ended, follow, seconds_left

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

LIVE_SECONDS, PLAIN_SECONDS = 0.5, 15.0
LOG_LINES = 20

DRAWN = {
    *(LogEvent.RUN_INFO, LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED, LogEvent.PROGRESS),
    *(LogEvent.WORKFLOW_STARTED, LogEvent.RESOURCES_INFO, LogEvent.RULEGRAPH),
}
"""Events that the summary shows in its own way, or that are of no use to who watches a run."""
CHATTER = (
    *("Building DAG of jobs", "Using shell:", "Select jobs to execute", "Complete log(s):", "Elapsed time:"),
    *("Assuming unrestricted shared filesystem", "host: ", "Reasons:\n", "This was a dry-run", "None"),
)
"""Beginnings of remarks that tell nothing, or what the summary says better. All others are shown."""


class LogHandler(LogHandlerBase):
    """Follows the run in Snakemake's log records and shows it. What goes wrong in here never stops a run."""

    writes_to_stream = property(lambda _: True)  # pyright: ignore[reportIncompatibleMethodOverride]
    writes_to_file = has_filter = property(lambda _: False)  # pyright: ignore[reportIncompatibleMethodOverride]
    has_formatter = needs_rulegraph = property(lambda _: False)  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        settings = self.common_settings
        self._run, self._began, self._history = Run(), 0.0, 0
        files.homeless()
        self._home = self._root = Path.cwd()  # Snakemake has not gone to its --directory yet
        self._broken = self._closed = False
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="sublim-summary", daemon=True)
        quiet = {str(getattr(what, "name", what)) for what in cast("list[Any]", settings.quiet or [])}
        self._summary = not quiet & {"RULES", "PROGRESS", "ALL"}
        self._stream: TextIO = sys.stdout if settings.stdout else sys.stderr
        self._console: Console | None = None
        self._live: Live | None = None
        if self._stream.isatty() and os.environ.get("TERM") != "dumb" and self._stream.encoding.lower() == "utf-8":
            from snakemake_logger_plugin_sublim.screen import console  # Snakemake loads this package at every start

            self._console = console(self._stream, color=not settings.nocolor)

    def emit(self, record: LogRecord) -> None:
        """Take note of a record and show what a person should see of it."""
        if self._broken or not self._guarded(lambda: self._take(record)):
            self._plain(self.format(record))

    def close(self) -> None:
        """Draw a last time, leave the terminal as it was, and say how the run ended."""
        if not self._closed:
            self._closed = True
            self._guarded(self._finish)
        super().close()

    def _take(self, record: LogRecord) -> None:
        said, event = vars(record), getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:  # the Snakefile has written it
            self._run = replace(self._run, order=files.stages(Path.cwd()))
        before, self._run = self._run, follow(self._run, record)
        if event == LogEvent.RUN_INFO and self._run.total and not self._began:
            self._begin(record.created)
        elif event == LogEvent.JOB_FINISHED and self._summary and not self._live:
            for name, total in self._run.totals.items():
                if self._run.done(name) >= total > before.done(name):
                    self._say(f"{words.duration(record.created - self._began)}: {words.stage(self._run, name)}")
        elif event == LogEvent.JOB_ERROR and said["log"]:
            if before.interrupted:
                return  # stopped with the rest
            logs = {path: files.tail(self._root / path, LOG_LINES) for path in said["log"]}
            self._say(words.failure(self._run.jobs.get(said["jobid"]), said, logs), ERROR)
        elif event not in DRAWN and not (before.interrupted and said.get("exception") == "RuleException"):
            text = self.format(record)
            if text and not (event is None and record.levelno <= INFO and text.startswith(CHATTER)):
                self._say(text, record.levelno)

    def _begin(self, now: float) -> None:
        self._began, self._root = now, Path.cwd()
        self._history = files.size(self._root / files.HISTORY)
        if self.common_settings.dryrun or not self._summary:
            return
        if self._console:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, get_renderable=self._screen, vertical_overflow="crop")
            self._live.start(refresh=True)
            self._console.show_cursor(show=True)  # a SIGKILL would leave the terminal without one
        else:
            self._say(words.to_do(self._run))
        self._ticker.start()

    def _tick(self) -> None:
        act, seconds = (self._live.refresh, LIVE_SECONDS) if self._live else (self._say_counts, PLAIN_SECONDS)
        while not self._ended.wait(seconds):
            self._guarded(act)

    def _say_counts(self) -> None:
        now = time.time()
        self._say(words.counts(self._run, now - self._began, seconds_left(self._run, now)))

    def _screen(self) -> Any:
        from snakemake_logger_plugin_sublim.screen import screen

        root, (width, height) = self._root, cast("Console", self._console).size
        return screen(
            self._run, self._began, time.time(), lambda job: files.heartbeat(root, job.cell, job.started), width, height
        )

    def _finish(self) -> None:
        if not self._began or not self._summary or self._broken:
            return
        if self.common_settings.dryrun:
            self._say(words.dry_run(self._run))
            return
        self._ended.set()
        if self._ticker.is_alive():
            self._ticker.join(timeout=2)
        self._run = ended(self._run)
        self._stop()
        self._say(words.ending(self._run, time.time() - self._began, files.actions(self._root, self._history)))
        if self._run.done("overview") and (self._root / files.OVERVIEW).is_file():
            self._say(f"overview: {os.path.relpath(self._root / files.OVERVIEW, self._home)}")

    def _stop(self) -> None:
        self._ended.set()
        live, self._live = self._live, None
        if live:
            live.stop()

    def _say(self, text: str, level: int = INFO) -> None:
        if self._console:
            style = "red" if level >= ERROR else "yellow" if level >= WARNING else None
            self._console.print(text, style=style, soft_wrap=True)
        else:
            self._plain(text)

    def _plain(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        with suppress(OSError, ValueError):  # whoever read this may have gone; the run goes on
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            self._stream.flush()

    def _guarded(self, act: Callable[[], None]) -> bool:
        """Do it; if that fails, once and for all leave the telling to Snakemake's own words."""
        try:
            act()
        except Exception as error:
            if not self._broken:
                self._broken = True
                self._plain(f"the summary of the run failed ({type(error).__name__}: {error}); from here in Snakemake's words:")
            with suppress(Exception):
                self._stop()
            return False
        return True
