"""Bundles as a forger makes them: unpacked, edited, and everything that follows written again so that every digest fits."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from sublim.engine.record import Plan
from sublim.lineage.handover import archive
from sublim.lineage.handover.bundle import FOLLOWING, following, output
from sublim.lineage.handover.content import About
from sublim.lineage.handover.examine import plan
from tests.shared.forge import launder, tree


def forged(
    bundle: Path, folder: Path, edit: Callable[[Path], object], to: Path, claim: Callable[[Plan], Plan] = lambda plan: plan
) -> Path:
    """The bundle `bundle`, unpacked into the empty directory `folder`, after `edit` was done there, with records and lists that
    fit, as the file `to`. `claim`: what a record says instead of its plan."""
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(folder)
    edit(folder)
    launder(folder / "data", claim)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    given = {name: output(path.read_bytes()) for name, path in files.items() if name not in FOLLOWING}
    about = About(**json.loads(files["bundle.json"].read_text()))
    experiment, _ = plan(folder / "params.yaml")
    members: dict[str, Path | bytes] = {**files, **following(about, tree(folder / "data").records, given, experiment)}
    archive.write(members, to)
    return to


def summed(bundle: Path, edits: dict[str, bytes | None], to: Path) -> Path:
    """The bundle `bundle` with other bytes for some files (None: without it) and a list of digests that fits, as the file
    `to`."""
    with zipfile.ZipFile(bundle) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    members = {name: text for name, text in {**members, **edits}.items() if text is not None}
    apart = ("SHA256SUMS", "statement.json", "statement.dsse.json")
    lines = [f"{output(text).sha256}  {name}\n" for name, text in sorted(members.items()) if name not in apart]
    archive.write({**members, "SHA256SUMS": "".join(lines).encode()}, to)
    return to
