"""A bundle's files: those that are given, and those that follow from them. Exporting writes both; verifying makes the second
kind again and compares, so that nothing in them can say anything else than what the records say."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from sublim.lineage.handover.content import ALL, CODE, CRATE, ENVELOPE, EXPERIMENT, README, SIGNER, STATEMENT, SUMS, About
from sublim.lineage.handover.crate import metadata
from sublim.lineage.handover.statement import statement
from sublim.params.experiment import Experiment
from sublim.plan.code import meaning
from sublim.plan.record import Output, Record

FOLLOWING = (EXPERIMENT, README, CRATE, SUMS, STATEMENT)
"""What follows from the other files, in the order in which each follows from the ones before."""


def following(
    about: About, records: Mapping[str, Record], files: Mapping[str, Output], of: Experiment, code: Mapping[str, str]
) -> dict[str, bytes]:
    """Name → bytes of each file in `FOLLOWING`.

    Args:
        about: what the bundle is.
        records: cell → record, of every artifact in it.
        files: name → digest and size, of every file that is given.
        of: the experiment.
        code: module → digest, for every module that a record names.
    """
    experiment = of.model_dump(mode="json")
    made: dict[str, bytes] = {
        EXPERIMENT: (json.dumps(experiment, indent=1, ensure_ascii=False) + "\n").encode(),
        README: _readme(about, records).encode(),
    }
    listed = dict(files) | {name: output(content) for name, content in made.items()}
    made[CRATE] = metadata(about, records, listed)
    listed[CRATE] = output(made[CRATE])
    made[SUMS] = "".join(f"{file.sha256}  {name}\n" for name, file in sorted(listed.items())).encode()
    listed[SUMS] = output(made[SUMS])
    made[STATEMENT] = statement(about, records, listed, experiment, code)
    return made


def output(content: bytes) -> Output:
    """Digest and size of the bytes of a file."""
    return Output(hashlib.sha256(content).hexdigest(), len(content))


def about_text(about: About) -> bytes:
    """The text of bundle.json."""
    return (json.dumps(asdict(about), indent=1) + "\n").encode()


def module_digest(module: str, sources: Mapping[str, bytes]) -> str | None:
    """The digest of a module as `sublim.plan.code` has it, from the files in `sources` (path → bytes); None without one."""
    files = module_files(module, sources)
    if not files:
        return None
    digest = hashlib.sha256(meaning(sources[files[0]].decode()).encode())
    for name in files[1:]:
        digest.update(name.rpartition("/")[2].encode() + b"\0" + sources[name])
    return digest.hexdigest()


def module_files(module: str, sources: Mapping[str, bytes]) -> list[str]:
    """The source file of a module, then the templates beside it that have its name."""
    stem = module.replace(".", "/")
    if f"{stem}/__init__.py" in sources:
        stem += "/__init__"
    if f"{stem}.py" not in sources:
        return []
    templates = [name for name in sources if name.startswith(f"{stem}.") and "/" not in name[len(stem) :]]
    return [f"{stem}.py", *sorted(name for name in templates if not name.endswith(".py"))]


def _readme(about: About, records: Mapping[str, Record]) -> str:
    what = "The whole experiment" if about.exported == ALL else f"`{about.exported}` and everything that it was made from"
    data = "" if about.data else " The bytes of the artifacts are left out, except the report; the records have their digests."
    signed = (
        f"`{ENVELOPE}` is the same statement, signed by the key {about.signer} (`{SIGNER}`). Whose key that is, ask its owner."
        if about.signer
        else "Nobody has signed it: it shows that its parts fit together, and not who made them."
    )
    return f"""\
# An experiment in subliminal learning, to check

{what}: {len(records)} artifacts.{data}

- `data/`: artifacts as in the experiment; `record.json` in each says what made it, from what, with what.
- `params.yaml`: the experiment; `{EXPERIMENT}`: the same with every default filled in.
- `{CODE}/`: the source that ran, as far as the records name it.
- `{CRATE}`: all that as an RO-Crate.
- `{SUMS}`: the digest of every file.
- `{STATEMENT}`: in-toto statement with SLSA provenance. {signed}

Check the zip file with the package that made it: `sublim verify FILE`. Without it: `sha256sum --check --quiet {SUMS}` in the
unpacked folder, and the digest of `{SUMS}` itself is in `{STATEMENT}`.
"""
