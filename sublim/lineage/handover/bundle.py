"""A bundle's files: those that are given, and those that follow from them. Exporting writes both; verifying makes the second
kind again and compares, so that nothing in them can say anything else than what the records say."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from sublim.engine.code import meaning
from sublim.engine.record import Output, Record
from sublim.lineage.handover import content
from sublim.lineage.handover.content import About, module_name
from sublim.lineage.handover.crate import metadata
from sublim.lineage.handover.statement import statement
from sublim.params.experiment import Experiment

README = Path(__file__).with_suffix(".md")  #: What the page for people says.
INCLUDED = re.compile(rb"""^include: *["']([^"'\n]+)["']""", re.MULTILINE)
FOLLOWING = (content.EXPERIMENT, content.README, content.CRATE, content.SUMS, content.STATEMENT)
"""What follows from the other files, in the order in which each follows from the ones before."""


def following(
    about: About, records: Mapping[str, Record], files: Mapping[str, Output], experiment: Experiment
) -> dict[str, bytes]:
    """Name → bytes of each file in `FOLLOWING`. `records` are those of every artifact in it, by cell; `files` are digest and
    size of every file that is given, by name."""
    params = experiment.model_dump(mode="json")
    made: dict[str, bytes] = {
        content.EXPERIMENT: (json.dumps(params, indent=1, ensure_ascii=False) + "\n").encode(),
        content.README: _readme(about, records).encode(),
    }
    listed = dict(files) | {name: output(text) for name, text in made.items()}
    made[content.CRATE] = metadata(about, records, listed)
    listed[content.CRATE] = output(made[content.CRATE])
    made[content.SUMS] = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(listed.items())).encode()
    listed[content.SUMS] = output(made[content.SUMS])
    made[content.STATEMENT] = statement(about, records, listed, params)
    return made


def output(text: bytes) -> Output:
    """Digest and size of the bytes of a file."""
    return Output(hashlib.sha256(text).hexdigest(), len(text))


def about_text(about: About) -> bytes:
    """The text of bundle.json."""
    return (json.dumps(asdict(about), indent=1) + "\n").encode()


def module_digest(module: str, sources: Mapping[str, bytes]) -> str | None:
    """The digest of a module as `sublim.engine.code` has it, from the files in `sources` (name in the bundle → bytes);
    None without one."""
    files = module_files(module, sources)
    if not files:
        return None
    digest = hashlib.sha256(meaning(sources[files[0]].decode()).encode())
    for name in files[1:]:
        digest.update(name.rpartition("/")[2].encode() + b"\0" + sources[name])
    return digest.hexdigest()


def module_files(module: str, sources: Mapping[str, bytes]) -> list[str]:
    """The source file of a module, then the templates beside it that have its name."""
    name = module_name(module, sources)
    if name not in sources:
        return []
    stem = name.removesuffix("py")
    beside = [other for other in sources if other.startswith(stem) and "/" not in other[len(stem) :]]
    return [name, *sorted(other for other in beside if not other.endswith(".py"))]


def workflow_files(sources: Mapping[str, bytes]) -> list[str]:
    """The Snakefile, and the files that it includes, and those that these include."""
    found, waiting = dict[str, None](), [content.SNAKEFILE]
    while waiting:
        name = waiting.pop()
        if name in sources and name not in found:
            found[name] = None
            folder = PurePosixPath(name).parent
            waiting += [(folder / other.decode(errors="replace")).as_posix() for other in INCLUDED.findall(sources[name])]
    return list(found)


def _readme(about: About, records: Mapping[str, Record]) -> str:
    whole = about.exported == content.ALL
    what = "The whole experiment" if whole else f"`{about.exported}` and everything that it was made from"
    data = "" if about.data else " The bytes of the artifacts are left out, except the report; the records have their digests."
    signed = (
        f"`{content.ENVELOPE}` is the same statement, signed by the key {about.signer} (`{content.SIGNER}`). Whose key that "
        "is, ask its owner."
        if about.signer
        else "Nobody has signed it: it shows that its parts fit together, and not who made them."
    )
    names = {name.lower(): value for name, value in vars(content).items() if name.isupper()}
    return README.read_text(encoding="utf-8").format(what=what, n=len(records), data=data, signed=signed, **names)
