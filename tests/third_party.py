"""What the tools of others say of unpacked bundles: roc-validator of the crate, the in-toto project's library of the statement,
securesystemslib of the signature. They have an environment of their own (tests/third_party.lock) and are run by its Python:

    PYTHON tests/third_party.py SEVERITY FOLDER …

prints, as JSON, a list with the complaints about each folder. No network.
"""

# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false

import json
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Message
from requests import Request
from requests_cache import CachedRequest, CachedResponse, CachedSession
from rocrate_validator import services
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

SCHEMA = (
    "CreateAction", "CreativeWork", "ComputerLanguage", "Dataset", "HowTo", "HowToStep", "SoftwareApplication",
    "SoftwareSourceCode", "about", "actionStatus", "additionalType", "contentSize", "datePublished", "description",
    "encodingFormat", "exampleOfWork", "hasPart", "identifier", "instrument", "license", "mainEntity", "mentions", "name",
    "object", "position", "programmingLanguage", "result", "softwareRequirements", "softwareVersion", "step", "subjectOf",
    "url", "valueRequired", "version", "workExample",
)  # fmt: skip
BIOSCHEMAS = "https://bioschemas.org/"
TERMS = {name: f"http://schema.org/{name}" for name in SCHEMA} | {
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
    "ComputationalWorkflow": f"{BIOSCHEMAS}ComputationalWorkflow",
    "FormalParameter": f"{BIOSCHEMAS}FormalParameter",
    "input": f"{BIOSCHEMAS}ComputationalWorkflow#input",
}
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": {"@context": TERMS},
    "https://w3id.org/ro/terms/workflow-run/context": {"@context": {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}},
}
"""The terms that our metadata use, as these two contexts define them: the validator finds them in its cache."""


def fill(cache: Path) -> None:
    """Put the contexts where the validator looks before it asks the network."""
    with CachedSession(str(cache), backend="sqlite", expire_after=-1) as session:
        for url, context in CONTEXTS.items():
            session.cache.save_response(
                CachedResponse(
                    status_code=200,
                    url=url,
                    content=json.dumps(context).encode(),
                    headers={"Content-Type": "application/ld+json"},
                    request=CachedRequest(method="GET", url=url),
                ),
                cache_key=session.cache.create_key(Request("GET", url).prepare()),
            )


def crate(folder: Path, severity: str, cache: Path) -> list[str]:
    """What roc-validator has against the crate, as a Provenance Run Crate."""
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="provenance-run-crate",
        requirement_severity=severity,
        cache_path=cache,
        offline=True,
        skip_availability_check=True,
    )
    issues = services.validate(settings).get_issues()
    return [f"{issue.check.identifier}: {issue.message}: {issue.violatingEntity}" for issue in issues]


def statement(folder: Path) -> list[str]:
    """What the in-toto project's messages have against the statement and the SLSA provenance in it."""
    try:
        message = json_format.Parse((folder / "statement.json").read_text(encoding="utf-8"), Message())
        Statement.copy_from_pb(message).validate()
        json_format.ParseDict(json_format.MessageToDict(message.predicate), Provenance())
    except (ValueError, json_format.Error) as error:
        return [f"statement: {error}"]
    return []


def signature(folder: Path) -> list[str]:
    """What securesystemslib has against the signature, if there is one."""
    path = folder / "statement.dsse.json"
    if not path.exists():
        return []
    envelope = Envelope.from_dict(json.loads(path.read_text(encoding="utf-8")))
    (keyid,) = envelope.signatures
    key = SSlibKey.from_crypto(load_pem_public_key((folder / "signer.pem").read_bytes()), keyid)
    try:
        envelope.verify([key], 1)
    except Exception as error:
        return [f"signature: {error}"]
    return [] if envelope.payload == (folder / "statement.json").read_bytes() else ["signature: of another statement"]


def main(severity: str, *folders: str) -> None:
    """Print what each of `folders` is blamed for."""
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "cache"
        fill(cache)
        paths = [Path(folder) for folder in folders]
        print(json.dumps([[*crate(path, severity, cache), *statement(path), *signature(path)] for path in paths]))


if __name__ == "__main__":
    main(*sys.argv[1:])
