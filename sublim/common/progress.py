"""Progress of long steps: lines in the job's log, and a heartbeat file that the live summary reads."""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

LOG_SECONDS = 10.0
BEAT_SECONDS = 0.5


@dataclass
class Progress:
    """Where a job says how far it is. Without a heartbeat file it only logs."""

    heartbeat: Path | None = None

    def start(self, what: str, total: int, unit: str) -> "Track":
        """Begin a step of `total` `unit`s, e.g. `start("fine-tune", 200, "step")`."""
        return Track(self, what, total, unit)


@dataclass
class Track:
    """One long step under way."""

    progress: Progress
    what: str
    total: int
    unit: str
    done: int = 0
    tokens: int = 0
    note: str = ""
    started: float = field(default_factory=time.monotonic)
    logged: float = field(default_factory=time.monotonic)
    beaten: float = 0.0

    def advance(self, units: int = 1, tokens: int = 0, note: str = "") -> None:
        """`units` more are done, with `tokens` tokens in them; `note` is a short remark such as `loss 1.23`."""
        self.done += units
        self.tokens += tokens
        self.note = note or self.note
        now = time.monotonic()
        last = self.done >= self.total
        if last or now - self.logged >= LOG_SECONDS:
            self.logged = now
            print(self.line(now), file=sys.stderr, flush=True)
        if last or now - self.beaten >= BEAT_SECONDS:
            self.beaten = now
            self._beat(now)

    def line(self, now: float) -> str:
        """`fine-tune 120/200 step, 43,210 tokens/s, 3 s left, loss 1.23`."""
        seconds = max(now - self.started, 1e-9)
        parts = [f"{self.what} {self.done:,}/{self.total:,} {self.unit}"]
        if self.tokens:
            parts.append(f"{self.tokens / seconds:,.0f} tokens/s")
        if self.done < self.total and self.done:
            parts.append(f"{seconds * (self.total - self.done) / self.done:.0f} s left")
        else:
            parts.append(f"{seconds:.1f} s")
        return ", ".join([*parts, self.note] if self.note else parts)

    def _beat(self, now: float) -> None:
        path = self.progress.heartbeat
        if path is None:
            return
        state = {"what": self.what, "done": self.done, "total": self.total, "unit": self.unit, "line": self.line(now)}
        # A heartbeat is no artifact: it need not survive a crash, so it is renamed into place but not fsynced.
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(state), encoding="utf-8")
            temporary.replace(path)
        except OSError:
            pass  # a full disk must not stop the work that the heartbeat is about
