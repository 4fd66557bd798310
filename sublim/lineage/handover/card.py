"""Provenance cards: what a person who receives a data set or an adapter should know, as a README for the Hugging Face hub.

Everything in a card is read from records and tables; nothing is asked of its author. What is special about the artifacts of a
stage stands in its `card.py` (`sublim.evidence.carding`); a stage without one has a card all the same.
"""

from collections.abc import Iterator
from io import StringIO

from ruamel.yaml import YAML

from sublim.common.errors import SublimError
from sublim.engine import environment
from sublim.evidence.carding import Card, dataset, reading
from sublim.evidence.subject import Subject, altered, connected
from sublim.evidence.tree import Tree
from sublim.lineage.handover.content import adopted
from sublim.lineage.naming import artifact

TAGS = ("subliminal-learning", "sublim", "synthetic")


def card(tree: Tree, what: str, rev: str | None = None) -> str:
    """The card of the artifact that a person calls `what`, as markdown. Raises SublimError: `what` is no artifact, it
    needs no card, or it or what it was made from is not as its records say."""
    cell = artifact(what.split(), tree)
    subject = Subject(tree, cell, tree.records[cell], rev)
    # A card must not speak of bytes that are not those of the records that it cites.
    for part in subject.chain():
        if (name := altered(tree, part.cell)) is not None:
            raise SublimError(f"{part.cell}: {name} is not what its record says, so nothing can be said of it. `sublim audit`")
    if not connected(tree, cell):
        raise SublimError(f"{cell}: was made from other artifacts than are there now. `snakemake -j8` mends that.")
    return _written(subject, _said(subject))


def _said(subject: Subject) -> Card:
    """What is special about the card: by the stage's own words, or by what every stage says of itself."""
    write = getattr(subject.stage.card(), "card", None)
    if write is not None:
        return write(subject)
    users = [_pages(subject.part(cell)) for cell in subject.tree.consumers.get(subject.cell, ())]
    if pages := _pages(subject) or (users[0] if users and all(users) else []):
        said = f"there is a page on that: open {pages[0]}. Cards are for data sets, models and answers."
        raise SublimError(f"{subject.folder}: {said}")
    tables = [table for table in subject.stage.tables if table.file in subject.record.outputs]
    dims = ", ".join(f"{name} {value}" for name, value in subject.dims.items())
    return Card(
        f"{subject.stage.about.capitalize()}: {dims}".removesuffix(": "),
        dataset(subject, *tables),
        [f"`{table.file}`: {subject.rows(table.file):,} rows. {table.about()}" for table in tables],
        code=[line for n, table in enumerate(tables) for line in reading(subject, table)[2 if n else 0 :]],
    )


def _pages(subject: Subject) -> list[str]:
    return [f"{subject.folder}/{name}" for name in subject.stage.figures if name.endswith(".html")]


def _written(subject: Subject, content: Card) -> str:
    stream, yaml = StringIO(), YAML()
    yaml.width = 128
    tags = [*TAGS, subject.stage.name, *content.tags]
    yaml.dump({**content.front, "tags": tags}, stream)  # pyright: ignore[reportUnknownMemberType]
    sections = {
        "What it is": [f"- {fact}" for fact in content.facts],
        **content.sections,
        "How to load it": ["```python", *content.code, "```"] if content.code else [],
        "What made it, from what": _made(subject),
        "Limits": [f"- {limit}" for limit in _limits(subject, content)],
        "How to trace it": _trace(subject),
    }
    text = "\n\n".join("\n".join([f"## {heading}", "", *lines]) for heading, lines in sections.items() if lines)
    return f"---\n{stream.getvalue()}---\n\n# {content.title}\n\n{text}\n"


def _made(subject: Subject) -> list[str]:
    found = subject.record.environment
    git = environment.commit(found)
    edited = ", with changes that were not committed" if git and git["dirty"] else ""
    code = f"commit `{git['commit']}`{edited}" if git else environment.why_unknown(found.get("git"))
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    return [
        "| artifact | digest | made with |",
        "|---|---|---|",
        *(f"| `{part.cell}` | `{part.record.digest[:16]}` | {_with(part)} |" for part in subject.chain()),
        "",
        f"Code: {code}; {len(subject.record.plan.code)} modules by digest in the record. Python {found['python']} on "
        f"{found['platform']}; {packages}.",
        *(line for said in adopted({part.cell: part.record for part in subject.chain()}) for line in ("", f"Adopted: {said}.")),
    ]


def _with(part: Subject) -> str:
    """What it was made with, in a line."""
    said = getattr(part.stage.card(), "made_with", None)
    return said(part) if said else "the params in its record"


def _limits(subject: Subject, content: Card) -> Iterator[str]:
    yield (
        "What was measured holds for these bases, this carrier and these recipes. That an effect was not seen does not mean "
        "that there is none."
    )
    yield from content.limits
    limited = [(part, limits) for part in subject.chain() if (limits := getattr(part.stage.card(), "limits", None))]
    yield from dict.fromkeys(limit for part, limits in limited for limit in limits(part))
    yield "No license is given here: nobody has chosen one."


def _trace(subject: Subject) -> list[str]:
    rev = f" --rev {subject.rev}" if subject.rev else ""
    return [
        "```sh",
        f"sublim lineage {subject.folder}{rev}       # everything upstream, down to the first base",
        f"sublim impact {subject.folder}{rev}        # everything that was made from it",
        f"sublim export {subject.cell}{rev} --to bundle.zip && sublim verify bundle.zip",
        "```",
        "",
        f"Artifact `{subject.record.digest}`, computation `{subject.record.key}`.",
        "",
        "| file | bytes | sha256 |",
        "|---|---:|---|",
        *(f"| {name} | {output.size:,} | `{output.sha256}` |" for name, output in sorted(subject.record.outputs.items())),
    ]
