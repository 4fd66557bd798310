"""docs/models.md: what was tried, as a page. `python -m tests.architectures.page` writes it."""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.learn.probe import probe
from sublim.models import maps, probed
from sublim.models.probed import Probe
from sublim.models.template import Form
from tests.models.test_template import GOOD, SYSTEMLESS
from tests.models.test_template import REFUSED as FAULTY
from tests.shared import zoo

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
NAMES = tuple(name for name in zoo.AGREE if ":" not in name)
TEXT = Path(__file__).with_suffix(".md")


@cache
def tried(name: str) -> Probe:
    """What is found of a model of the zoo."""
    return probe(zoo.folder(name), Progress())


def row(name: str) -> str:
    """The row of an architecture."""
    of = tried(name)
    training, running = of.training, of.running
    assert training.fault is None, training.fault
    assert of.answers.fault is None, of.answers.fault
    inside = [each for each in training.maps if maps.in_attention(each)]
    outside = [each for each in training.maps if not maps.in_attention(each)]
    flags = ("yes" if flag else "no" for flag in (running.cached, running.cached and running.compaction, running.shared))
    unfit = [*training.unfit, *training.idle]
    groups = (listed(probed.trainable(training, group)) for group in (inside, outside))
    return cells(f"`{name}`", *flags, *groups, listed(unfit))


def refusal(name: str) -> str:
    """The row of an architecture that is refused."""
    try:
        of = tried(name)
    except (SublimError, ValueError) as error:
        said = str(error).partition(": ")[2]
    else:
        said = of.training.fault or zoo.REFUSED[name][1].replace(r"row \d: ", "").replace(".*", "…").replace("\\", "")
    return cells(f"`{name}`", said)


def listed(names: Collection[str]) -> str:
    """Names in the cell of a table."""
    return ", ".join(f"`{name}`" for name in sorted({name.rpartition(".")[2] for name in names})) or "–"


def cells(*texts: str) -> str:
    """A row of a table."""
    return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in texts) + " |"


def shown(text: str) -> str:
    """A text as code, or nothing."""
    return f"`{text!r}`" if text else "–"


def template(family: str) -> str:
    """The row of a template."""
    _, variables, form = GOOD[family]
    assert isinstance(form, Form)
    given = ", ".join(f"`{name}: {str(value).lower()}`" for name, value in variables.items()) or "–"
    system = "refused" if family in SYSTEMLESS else "yes"
    return cells(family, given, shown(form.header + form.lead), shown(form.trail + form.end), system)


def page(rows: Mapping[str, str], refusals: Mapping[str, str]) -> str:
    """The page with these rows."""
    faults = {family: said.partition("|write")[0].replace(".*", " … ") for family, (_, said) in FAULTY.items()}
    parts = {
        "architectures": (rows[name] for name in NAMES),
        "others": (refusals[name] for name in zoo.REFUSED),
        "templates": map(template, GOOD),
        "refused": (
            cells(family, f"… {said.partition('|write')[0].replace('.*', ' … ')} …") for family, said in faults.items()
        ),
    }
    text = TEXT.read_text(encoding="utf-8")
    for name, lines in parts.items():
        text = text.replace(f"{{{name}}}", "\n".join(lines))
    return text


if __name__ == "__main__":
    PAGE.write_text(page({name: row(name) for name in NAMES}, {name: refusal(name) for name in zoo.REFUSED}), encoding="utf-8")
