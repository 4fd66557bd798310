"""What is in a bundle and what its files are called. Everything that exporting and verifying must agree on."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from sublim import lists
from sublim.engine import layout
from sublim.engine.record import Record
from sublim.engine.stage import stages
from sublim.evidence.words import plural

FORMAT = 2
ABOUT = "bundle.json"
PARAMS = "params.yaml"
EXPERIMENT = "experiment.json"
REQUIREMENTS = "requirements.lock"
DVC_LOCK = "dvc.lock"
SIGNER = "signer.pem"
README = "README.md"
CRATE = "ro-crate-metadata.json"
SUMS = "SHA256SUMS"
STATEMENT = "statement.json"
ENVELOPE = "statement.dsse.json"
CODE = "code"
SNAKEFILE = f"{CODE}/Snakefile"
LISTS = f"{CODE}/{lists.__name__.replace('.', '/')}.py"
"""The stages and kinds that there were. In no record: it is in no digest."""
ALL = "all"


@dataclass(frozen=True)
class About:
    """What a bundle says of itself, in `bundle.json`."""

    exported: str  #: The cell that was asked for, or `all`.
    data: bool  #: Whether the bytes of the artifacts are in it; those of the report always are (`Stage.keeps_bytes`).
    published: str  #: A date, of the experiment and not of the export: see `published` in `sublim.lineage.handover.export`.
    signer: str | None  #: The fingerprint of the key that signs it; null if it is not signed.
    format: int = FORMAT  #: The version of all these rules.

    def cells(self, records: Mapping[str, Record]) -> tuple[str, ...]:
        """The cells that were asked for; the others in the bundle are what these were made from."""
        return tuple(records) if self.exported == ALL else (self.exported,)

    def holds(self, record: Record) -> bool:
        """Whether the bytes of the artifact of `record` belong into the bundle."""
        stage = stages().get(record.plan.stage)
        return self.data or (stage is not None and stage.keeps_bytes)


def data_name(cell: str) -> str:
    """`data/…`: the folder of an artifact in a bundle, where it is in an experiment, too."""
    return f"{layout.DATA}/{cell}"


def code_name(source: str) -> str:
    """`code/…`: the place of a file of the source code."""
    return f"{CODE}/{source}"


def module_name(module: str, names: Container[str]) -> str:
    """The source file of a module among `names`, which are those of a bundle."""
    path = code_name(module.replace(".", "/"))
    return f"{path}/__init__.py" if f"{path}/__init__.py" in names else f"{path}.py"


def package_url(name: str, version: str) -> str:
    """The package URL (purl) of a version of a Python package: a name that no host has to answer for."""
    return f"pkg:pypi/{name}@{quote(version)}"


def versions(records: Mapping[str, Record], package: str) -> list[str]:
    """The versions of a package with which the artifacts were made: one, if all were made in the same environment."""
    found = {record.environment.get("packages", {}).get(package) for record in records.values()}
    return sorted(str(version) for version in found if version is not None)


def installed(records: Mapping[str, Record]) -> list[tuple[str, str]]:
    """Name and version of the packages with which the artifacts were made, this one left out."""
    names = sorted({name for record in records.values() for name in record.environment.get("packages", {})})
    return [(name, version) for name in names if name != "sublim" for version in versions(records, name)]


def adopted(records: Mapping[str, Record]) -> list[str]:
    """What of `records` was adopted, and why that is right, in a sentence; nothing, if nothing was."""
    witnesses = {cell: record.adopted[-1].witnesses for cell, record in records.items() if record.adopted}
    again = {witness for each in witnesses.values() for witness in each}
    said = (
        f"{plural(len(witnesses), 'artifact')} that older code computed, first {min(witnesses, default='')}; "
        f"{plural(len(again), 'other')} of their kind, made again by the code that their records name, came out with the same "
        "bytes"
    )
    return [said] * bool(witnesses)
