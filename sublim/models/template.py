"""How a model's chat template writes conversations. Templates of strangers are rendered by a process of its own, in jinja2's
sandbox, within bounds of time and memory. No torch."""

import atexit
import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from os.path import commonprefix
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from sublim.common.errors import SublimError

if TYPE_CHECKING:  # jinja2 takes a twentieth of a second to import, which every command would wait for
    from sublim.models.jinja import Message

SECONDS = 10.0  #: How long a template may take for each thousand chats that it is given at a time.
MEMORY = 1 << 30  #: Bytes that it may need.
LONGEST = 1 << 20  #: Characters that one conversation may become.
_PROGRAM = Path(__file__).with_name("jinja.py")  #: What renders.

# Some templates print today's date; with a date given they print that, and the same inputs give the same ids on any day.
DATE = "26 Jul 2024"


class TemplateError(SublimError, ValueError):
    """A chat template that cannot be rendered, or does not write what it is given."""


@dataclass(frozen=True)
class Form:
    """What a template writes around an answer, behind a prompt that ends where the answer begins."""

    header: str  #: What belongs to the prompt though the template writes it with the answer only; mostly nothing.
    lead: str  #: Blank space in front of an answer, which the model writes itself; mostly none.
    trail: str  #: Blank space between the answer and what ends it.
    end: str  #: What comes after that: the end of the turn first.


@dataclass(frozen=True)
class Template:
    """A chat template with all that it is rendered with."""

    text: str  #: Its source, in jinja2.
    variables: Mapping[str, Any]  #: Special tokens by name (`bos_token` …), and what the experiment's params set.
    ours: bool = False  #: Whether it is one of this project's, which needs no bounds.

    def rendered(self, chats: Sequence[Sequence["Message"]], *, generate: bool) -> list[str]:
        """The text of each chat; `generate`: up to where the model begins to answer. Raises TemplateError: it cannot be
        rendered, takes too long, needs too much memory, or grows too long."""
        if not chats:
            return []
        known = {"date_string": DATE, **self.variables}
        if self.ours:
            from sublim.models import jinja

            return jinja.rendered(_compiled(self.text), chats, known, generate=generate)
        return _guard().rendered(self.text, chats, known, generate=generate)

    @cached_property
    def form(self) -> Form:
        """What it writes around an answer. Raises TemplateError: what it makes of a conversation does not begin with what it
        makes of the prompt, or it writes something before an answer that the prompt does not end with."""
        return _form(self)


def _form(template: Template) -> Form:
    answer = "completion"
    asked: list[Message] = [{"role": "user", "content": "prompt"}]
    (prompt,) = template.rendered([asked], generate=True)
    (plain,) = template.rendered([asked], generate=False)
    (whole,) = template.rendered([[*asked, {"role": "assistant", "content": answer}]], generate=False)
    if not whole.startswith(prompt):
        raise TemplateError(
            f"expected the chat template to begin a conversation as it writes the prompt, {prompt[-60:]!r}, "
            f"found {_differing(prompt, whole)!r} in place of it: a model asked by this prompt is not the one that answers. "
            "Perhaps one of the template's variables (`template` of the model) changes that"
        )
    before, found, after = whole[len(prompt) :].partition(answer)
    if not found:
        raise TemplateError(f"expected the chat template to write an answer as it is, {answer!r}, found {before[-60:]!r}")
    trail = after[: len(after) - len(after.lstrip(" \t\r\n"))]
    if not before.strip():
        return Form("", before, trail, after[len(trail) :])
    if prompt != plain:
        raise TemplateError(
            f"expected the chat template's prompt to end where an answer begins, found that {before!r} stands before an answer "
            "and not at the end of the prompt: a model would have to write that first. Perhaps one of the template's "
            "variables (`template` of the model, e.g. {enable_thinking: false}) changes that"
        )
    header = before.rstrip(" ")  # a template that ignores add_generation_prompt
    return Form(header, before[len(header) :], trail, after[len(trail) :])


def _differing(prompt: str, whole: str) -> str:
    same = len(commonprefix([prompt, whole]))  # noqa: RUF071 - of texts, not of paths
    return whole[same : same + 60]


@cache
def _compiled(text: str) -> Any:
    from sublim.models import jinja

    return jinja.compiled(text)


@cache
def _guard() -> "_Guard":
    return _Guard()


class _Guard:
    """A process that renders templates, started when it is needed and ended when one goes on for too long."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = Lock()
        atexit.register(self._stop)

    def rendered(
        self, text: str, chats: Sequence[Sequence["Message"]], variables: Mapping[str, Any], *, generate: bool
    ) -> list[str]:
        ask = {"text": text, "chats": chats, "variables": variables, "generate": generate}
        with self._lock:
            said = self._asked(json.dumps(ask).encode() + b"\n", len(chats))
        if "error" in said:
            raise TemplateError(f"expected a chat template that can be rendered, found that it cannot: {said['error']}")
        return cast("list[str]", said["rendered"])

    def _asked(self, line: bytes, chats: int) -> dict[str, Any]:
        process = self._process
        if process is None or process.poll() is not None:
            command = [sys.executable, "-I", os.fspath(_PROGRAM), str(MEMORY)]
            process = self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            os.set_blocking(cast("Any", process.stdin).fileno(), False)  # it may wait for us to read
        until = time.monotonic() + SECONDS * (1 + chats // 1000)
        answer = bytearray()
        pending = memoryview(line)
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            ready.register(process.stdin, selectors.EVENT_WRITE)
            while not answer.endswith(b"\n"):
                events = ready.select(max(0.0, until - time.monotonic()))
                if not events or len(answer) > LONGEST * chats:
                    self._stop()
                    found = f"more than {LONGEST:,} characters for a chat" if events else f"no end after {SECONDS:g} seconds"
                    raise TemplateError(f"expected a chat template that can be rendered, found {found}")
                for key, _ in events:
                    if key.fileobj is process.stdout:
                        part = process.stdout.read1(1 << 16)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
                        if not part:
                            self._stop()
                            raise TemplateError("expected a chat template that can be rendered, found that it ends the process")
                        answer += cast("bytes", part)
                    elif pending:
                        pending = pending[process.stdin.raw.write(pending[: 1 << 16]) or 0 :]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
                    else:
                        ready.unregister(process.stdin)
        return cast("dict[str, Any]", json.loads(answer))

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None
