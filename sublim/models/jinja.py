"""Chat templates as transformers compiles them, with a clock that stands still. A template is code of strangers: run as a
program of its own, this renders what it is given line by line, and may be ended from outside."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

CLOCK = datetime(2024, 7, 26)
"""What every template takes for now: the same inputs give the same text on any day."""

Message = Mapping[str, str]  #: `role` (system, user, assistant) and `content`.


class _Generation(Extension):
    """`{% generation %}` marks what an assistant writes; nothing is done about it."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("said"), [], [], body).set_lineno(line)

    def said(self, caller: Callable[[], str]) -> str:
        return caller()


def compiled(text: str) -> jinja2.Template:
    """The template whose text is `text`. Raises jinja2.TemplateError: it is none."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _json
    cast("dict[str, Any]", environment.globals).update(raise_exception=_refuse, strftime_now=CLOCK.strftime)
    return environment.from_string(text)


def rendered(
    template: jinja2.Template, chats: Sequence[Sequence[Message]], variables: Mapping[str, Any], *, generate: bool
) -> list[str]:
    """What `template` makes of each chat; `generate`: up to where the model begins to answer."""
    known = {**variables, "add_generation_prompt": generate, "tools": None, "documents": None}
    return [template.render(**known, messages=[dict(message) for message in chat]) for chat in chats]


def _json(value: object, **how: Any) -> str:
    return cast("Any", json.dumps)(value, **{"ensure_ascii": False, **how})


def _refuse(message: object) -> str:
    raise jinja2.TemplateError(str(message))


def main() -> None:
    """Answer every line of the input, {text, chats, variables, generate}, by one, {rendered} or {error}."""
    import resource

    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    known: dict[str, jinja2.Template] = {}
    for line in sys.stdin:
        try:
            ask = cast("dict[str, Any]", json.loads(line))
            if ask["text"] not in known:
                known[ask["text"]] = compiled(ask["text"])
            texts = rendered(known[ask["text"]], ask["chats"], ask["variables"], generate=ask["generate"])
            said = json.dumps({"rendered": texts})
        except MemoryError:
            said = json.dumps({"error": "it needs too much memory"})
        except Exception as error:
            said = json.dumps({"error": f"{type(error).__name__}: {error}"[:1000]})
        print(said, flush=True)


if __name__ == "__main__":
    main()
