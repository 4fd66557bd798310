"""What is in a bundle and what its files are called. Everything that exporting and verifying must agree on."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from sublim.plan import layout
from sublim.plan.record import Record

FORMAT = 1
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
ALL = "all"


@dataclass(frozen=True)
class About:
    """What a bundle says of itself, in `bundle.json`."""

    exported: str
    """The cell that was asked for, or `all`."""
    data: bool
    """Whether the bytes of the artifacts are in it; those of the report always are."""
    published: str
    """A date, of the experiment and not of the export: see `published` in `sublim.lineage.handover.export`."""
    signer: str | None
    """The fingerprint of the key that signs it; null if it is not signed."""
    format: int = FORMAT
    """The version of all these rules."""

    def cells(self, records: Mapping[str, Record]) -> tuple[str, ...]:
        """The cells that were asked for; the others in the bundle are what these were made from."""
        return tuple(records) if self.exported == ALL else (self.exported,)

    def holds(self, record: Record) -> bool:
        """Whether the bytes of the artifact of `record` belong into the bundle."""
        return self.data or record.plan.stage == "report"


def data_name(cell: str) -> str:
    """`data/…`: the folder of an artifact in a bundle, where it is in an experiment, too."""
    return f"{layout.DATA}/{cell}"


def code_name(source: str) -> str:
    """`code/…`: the place of a file of the source code."""
    return f"{CODE}/{source}"


def package_url(name: str, version: str) -> str:
    """The package URL (purl) of a version of a Python package: a name that no host has to answer for."""
    return f"pkg:pypi/{name}@{quote(version)}"


def versions(records: Mapping[str, Record], package: str) -> list[str]:
    """The versions of a package with which the artifacts were made: one, if all were made in the same environment."""
    found = {record.environment.get("packages", {}).get(package) for record in records.values()}
    return sorted(str(version) for version in found if version is not None)
