"""Verifying a bundle with nothing but the bundle and this package: no data/, no git, no DVC, no network."""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.engine.record import Output
from sublim.engine.verdict import differences
from sublim.evidence.finding import CORRUPTED, STALE, UNVERIFIABLE, Finding
from sublim.evidence.tree import Tree
from sublim.lineage.handover import content, signature
from sublim.lineage.handover.archive import ArchiveError, unpack
from sublim.lineage.handover.bounds import exceeded
from sublim.lineage.handover.bundle import FOLLOWING, about_text, following
from sublim.lineage.handover.content import About, code_name, data_name
from sublim.lineage.handover.examine import Parts, examine, few, notes, plan
from sublim.lineage.story.story import check
from sublim.params.experiment import Experiment
from sublim.params.load import ParamsError

NEEDED = (content.ABOUT, content.PARAMS, content.SNAKEFILE, *FOLLOWING)
SUMMED = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Verified:
    """What verifying a bundle has found."""

    findings: tuple[Finding, ...]  #: What does not hold: nothing, if it is empty.
    notes: tuple[str, ...] = ()  #: What a reader should know though nothing is wrong with it.
    about: About | None = None  #: What the bundle says of itself; None if that cannot be read.
    artifacts: int = 0
    files: int = 0
    signer: str | None = None  #: The fingerprint of the key with which it was signed, if the signature holds.
    trusted: bool = False  #: Whether that is the key that the reader gave.


def verify(path: Path, key: Ed25519PublicKey | None) -> Verified:
    """Check the bundle in the file `path`; with `key`, also that its owner has signed it. Raises SublimError: there is no such
    file."""
    if not path.is_file():
        raise SublimError(f"{path}: expected a bundle as `sublim export` writes it, found no such file.")
    with tempfile.TemporaryDirectory(prefix="sublim-") as folder:
        try:
            members = unpack(path, Path(folder))
        except ArchiveError as error:
            return Verified((Finding(path.name, "bundle", CORRUPTED, str(error), ""),))
        try:
            return _verify(path.name, members, key)
        except RecursionError:
            return Verified((Finding(path.name, "bundle", CORRUPTED, "a file in it is nested too deeply to be read", ""),))


def _verify(name: str, members: Mapping[str, Path], key: Ed25519PublicKey | None) -> Verified:
    if missing := [needed for needed in NEEDED if needed not in members]:
        return Verified(tuple(_bundle(file, UNVERIFIABLE, "is not in the bundle") for file in missing))
    if large := [*exceeded(members, content.PARAMS, content.CODE)]:
        return Verified(tuple(_bundle(file, CORRUPTED, why) for file, why in large), files=len(members))
    files = {file: Output(sha256(found), found.stat().st_size) for file, found in members.items()}
    try:
        about = _about(members[content.ABOUT].read_bytes())
    except _UnreadableError as error:
        return Verified((_bundle(content.ABOUT, error.status, str(error)),))
    if first := [*_sums(members, files), *_signature(members, about, key)]:
        return Verified(tuple(first), about=about, files=len(members))
    try:
        experiment, planned = plan(members[content.PARAMS])
    except (ParamsError, ValueError) as error:
        text = str(error).replace(f"{members[content.PARAMS].parent}/", "")
        return Verified((_bundle(content.PARAMS, STALE, text),), about=about, files=len(members))
    under = data_name("")
    tree = Tree(name, {file.removeprefix(under): found for file, found in members.items() if file.startswith(under)})
    sources = {file: found.read_bytes() for file, found in members.items() if file.startswith(code_name(""))}
    given = {file: output for file, output in files.items() if file not in (*FOLLOWING, content.ENVELOPE)}
    parts = Parts(about, tree, given, sources, planned)
    known: list[str] = []
    try:
        found = examine(parts) or [*_following(parts, experiment, members)]
        known = notes(parts)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        # Records hold what JSON can hold: a forger may have put anything in the place of anything.
        found = [_bundle(content.STATEMENT, CORRUPTED, f"a record has a field of another form than expected ({error!r})")]
    if not found and about.data:
        found = _story(tree)
    told, trusted = (*known, *_trust(about, key)), about.signer is not None and key is not None
    return Verified(tuple(found), told, about, len(tree.records), len(members), about.signer, trusted)


def _story(tree: Tree) -> list[Finding]:
    """What the tables say of each other."""
    try:
        found = check(tree, sorted({record.plan.stage for record in tree.records.values()}), None)
    except SublimError as error:
        return [_bundle(tree.name, CORRUPTED, str(error))]
    return [replace(finding, mend="") for finding in found]  # a reader of a bundle cannot compute anything again


def _about(text: bytes) -> About:
    try:
        read: dict[str, Any] = json.loads(text)
        if read["format"] != content.FORMAT:
            use = "newer version" if read["format"] > content.FORMAT else "version that wrote it"
            said = f"it has format {read['format']}, this program reads format {content.FORMAT}: use the {use}"
            raise _UnreadableError(UNVERIFIABLE, said)
        about = About(**read)
    except (ValueError, KeyError, TypeError) as error:
        raise _UnreadableError(CORRUPTED, f"it cannot be read ({error!r})") from None
    types = {"exported": str, "data": bool, "published": str, "signer": str | None, "format": int}
    if wrong := [field for field, kind in types.items() if not isinstance(read[field], kind)]:
        raise _UnreadableError(CORRUPTED, f"{wrong[0]} is {read[wrong[0]]!r}, which it cannot be")
    if about_text(about) != text:
        raise _UnreadableError(CORRUPTED, "it is not written as `sublim export` writes it")
    return about


def _sums(members: Mapping[str, Path], files: Mapping[str, Output]) -> Iterator[Finding]:
    """Compare every file with the list of digests, which has all but itself and what is made from it."""
    listed: dict[str, str] = {}
    for number, line in enumerate(members[content.SUMS].read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = SUMMED.fullmatch(line)
        if match is None or match[2] in listed:
            yield _bundle(content.SUMS, CORRUPTED, f"line {number} is no digest of another file: {line[:80]!r}")
            return
        listed[match[2]] = match[1]
    for name in sorted(files.keys() - listed.keys() - {content.SUMS, content.STATEMENT, content.ENVELOPE}):
        yield _bundle(name, CORRUPTED, f"this file is not in {content.SUMS}: it was added")
    for name, expected in listed.items():
        if name not in files:
            yield _bundle(name, UNVERIFIABLE, f"this file is in {content.SUMS}, but not in the bundle: it was left out")
        elif files[name].sha256 != expected:
            digests = f"expected {expected[:12]}, found {files[name].sha256[:12]}"
            yield _bundle(name, CORRUPTED, f"its bytes are not those of {content.SUMS}: {digests}")


def _signature(members: Mapping[str, Path], about: About, key: Ed25519PublicKey | None) -> Iterator[Finding]:
    asked = signature.fingerprint(key) if key else None
    parts = {content.ENVELOPE: content.ENVELOPE in members, content.SIGNER: content.SIGNER in members}
    if about.signer is None:
        for name in (name for name, there in parts.items() if there):
            yield _bundle(name, CORRUPTED, f"{content.ABOUT} says that the bundle is not signed, but this is there")
        if asked:
            said = f"expected a signature by the key {asked}, but the bundle is not signed"
            yield _bundle(content.ENVELOPE, UNVERIFIABLE, said)
        return
    if missing := [name for name, there in parts.items() if not there]:
        said = f"{content.ABOUT} says that the bundle is signed by {about.signer}, but this is not there"
        yield from (_bundle(name, UNVERIFIABLE, said) for name in missing)
        return
    try:
        enclosed = signature.public_key_of(members[content.SIGNER].read_bytes())
    except signature.SignatureError as error:
        yield _bundle(content.SIGNER, CORRUPTED, str(error))
        return
    signer = signature.fingerprint(enclosed)
    if signer != about.signer:
        yield _bundle(content.SIGNER, CORRUPTED, f"expected the key {about.signer}, as {content.ABOUT} says, found {signer}")
    if asked and asked != signer:
        said = f"expected a signature by the key {asked}, found one by another key, {signer}"
        yield _bundle(content.ENVELOPE, UNVERIFIABLE, said)
    try:
        payload = signature.verify(members[content.ENVELOPE].read_bytes(), enclosed)
    except signature.SignatureError as error:
        yield _bundle(content.ENVELOPE, CORRUPTED, str(error))
        return
    if payload != members[content.STATEMENT].read_bytes():
        said = f"this is not the statement that was signed; {content.ENVELOPE} has that one"
        yield _bundle(content.STATEMENT, CORRUPTED, said)


def _following(parts: Parts, experiment: Experiment, members: Mapping[str, Path]) -> Iterator[Finding]:
    """Make the files that follow from the others again, and compare."""
    for name, text in following(parts.about, parts.records, parts.files, experiment).items():
        found = members[name].read_bytes()
        if found != text:
            yield _bundle(name, CORRUPTED, f"it does not say what the records say: {_difference(name, text, found)}")
            return  # what follows from this file differs, too


def _difference(name: str, expected: bytes, found: bytes) -> str:
    if name.endswith(".json"):
        try:
            changes = differences(_indexed(json.loads(expected)), _indexed(json.loads(found)))
        except ValueError as error:
            return f"it is no JSON ({error})"
        return few(changes) or "it is written in another way"
    pairs = zip(expected.decode().splitlines(), found.decode(errors="replace").splitlines(), strict=False)
    for number, (mine, yours) in enumerate(pairs, start=1):
        if mine != yours:
            return f"line {number}: expected {mine[:80]!r}, found {yours[:80]!r}"
    return f"expected {len(expected):,} bytes, found {len(found):,}"


def _indexed(value: Any) -> Any:
    """Lists as mappings, so that what differs in them is named: by `@id` or `name` where there is one, else by position."""
    match value:
        case list():
            items = cast("list[Any]", value)
            names = [_name(item, number) for number, item in enumerate(items)]
            unique = names if len(set(names)) == len(names) else [str(number) for number in range(len(items))]
            return {name: _indexed(item) for name, item in zip(unique, items, strict=True)}
        case dict():
            return {key: _indexed(item) for key, item in cast("dict[str, Any]", value).items()}
        case _:
            return value


def _name(item: Any, number: int) -> str:
    fields = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
    return str(fields.get("@id") or fields.get("name") or number)


def _trust(about: About, key: Ed25519PublicKey | None) -> list[str]:
    if about.signer is None:
        return ["not signed: its parts fit together, but nothing in it says who made them"]
    if key is None:
        return [
            f"signed by the key {about.signer}, which is enclosed. Whose key that is you have to know: compare with "
            "`ssh-keygen -lf KEY.pub`, or give the key that you trust as --key"
        ]
    return []


def _bundle(name: str, status: int, found: str) -> Finding:
    return Finding(name, "bundle", status, found, "")


class _UnreadableError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
