"""Writing a bundle: an artifact, or the whole experiment, with everything that it was made from and what proves it."""

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sublim.common.errors import SublimError
from sublim.common.files import replacing, sha256
from sublim.common.names import harmful
from sublim.lineage.finding import WORDS, Finding
from sublim.lineage.handover import archive, signature
from sublim.lineage.handover.bundle import about_text, following, module_files, output
from sublim.lineage.handover.content import (
    ABOUT,
    ALL,
    DVC_LOCK,
    ENVELOPE,
    PARAMS,
    REQUIREMENTS,
    SIGNER,
    STATEMENT,
    About,
    code_name,
    data_name,
)
from sublim.lineage.handover.examine import Parts, examine, needed, plan
from sublim.lineage.handover.verify import verify
from sublim.lineage.revision import resolve, revision
from sublim.lineage.tree import Tree, working
from sublim.plan import layout
from sublim.plan.code import PACKAGE, files_of, source
from sublim.plan.record import Output, Record
from sublim.plan.workflow import remembered_params

SHOWN = 8
BESIDE = ("Snakefile", "workflow")
"""What of the source is not in the package."""


@dataclass(frozen=True)
class Origin:
    """Where a bundle is made from: what is here now, or a git revision."""

    tree: Tree
    params: bytes
    sources: Mapping[str, bytes]
    """Path, such as `sublim/stages/raw.py` or `Snakefile` → source code."""
    locks: Mapping[str, bytes]
    """requirements.lock and dvc.lock, if they are there."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    about: About
    artifacts: int
    files: int
    size: int
    sha256: str


def export(
    what: str,
    to: Path,
    origin: Origin,
    *,
    data: bool = True,
    key: Ed25519PrivateKey | None = None,
    published: str | None = None,
) -> Exported:
    """Write the bundle of `what`, a cell or `all`, to the file `to`: the same experiment, the same bytes.

    The bundle is verified before it is put in its place.

    Args:
        what: a cell, the path of an artifact, or `all`.
        to: the file to write.
        origin: see `here` and `at`.
        data: whether the bytes of the artifacts go into it; those of the report always do.
        key: signs it.
        published: the date of publication; by default that of the commit that the records name.

    Raises:
        SublimError: the experiment has no such artifact, or an artifact does not hold.
    """
    with tempfile.TemporaryDirectory(prefix="sublim-") as folder:
        params = Path(folder) / PARAMS
        params.write_bytes(origin.params)
        try:
            of, planned = plan(params)
        except SublimError as error:
            raise SublimError(str(error).replace(f"{folder}/", "")) from None
        cell = _cell(what, planned)
        wanted = needed(cell, planned)
        signer = signature.fingerprint(key.public_key()) if key else None
        whole = _within(origin.tree, wanted)
        about = About(cell, data, published or _date(whole.records), signer)
        tree = _held(whole, about)
        modules = {module for record in tree.records.values() for module in record.plan.code}
        members = _given(origin, tree, about, modules) | ({SIGNER: signature.pem(key.public_key())} if key else {})
        files = {name: _output(content) for name, content in members.items()}
        if found := examine(Parts(about, tree, files, origin.sources, planned)):
            raise SublimError(_refusal(found, origin.tree.name))
        code = {module: digest for record in tree.records.values() for module, digest in record.plan.code.items()}
        made = following(about, tree.records, files, of, code)
        members |= made
        if key:
            members[ENVELOPE] = signature.sign(made[STATEMENT], key)
        return _write(members, to, about, len(tree.records), key)


def here(params: Path | None) -> Origin:
    """What is in this folder now."""
    path = params or remembered_params()
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SublimError(f"{path}: expected an experiment file, but it cannot be read: {error.strerror}.") from None
    root = next((folder for folder in (PACKAGE.parent, Path()) if (folder / BESIDE[0]).is_file()), None)
    if root is None:
        raise SublimError(f"expected a {BESIDE[0]} here or in {PACKAGE.parent}: it is the workflow that a bundle is about.")
    beside = [root / BESIDE[0], *sorted(path for path in (root / BESIDE[1]).rglob("*.smk") if path.is_file())]
    package = [file for module in _modules() for file in files_of(source(module))]
    sources = {file.relative_to(PACKAGE.parent).as_posix(): file.read_bytes() for file in package}
    sources |= {file.relative_to(root).as_posix(): file.read_bytes() for file in beside}
    places = {DVC_LOCK: (Path(),), REQUIREMENTS: (Path(), PACKAGE.parent)}
    locks = {
        name: (folder / name).read_bytes()
        for name, folders in places.items()
        for folder in reversed(folders)
        if (folder / name).is_file()
    }
    return Origin(working(), text, sources, locks)


def at(rev: str, params: Path | None) -> Origin:
    """What a git revision has versioned, without a checkout."""
    commit = resolve(rev)
    experiment = (params or Path(PARAMS)).as_posix()
    found = _archived(commit, (experiment, PACKAGE.name, *BESIDE, DVC_LOCK, REQUIREMENTS))
    for name in (experiment, BESIDE[0]):
        if name not in found:
            raise SublimError(f"{rev}: has no {name} in this folder, so there is nothing to tell what its artifacts are.")
    sources = {name: text for name, text in found.items() if name.split("/")[0] in (PACKAGE.name, *BESIDE)}
    return Origin(
        revision(rev),
        found[experiment],
        {name: text for name, text in sources.items() if name.split("/")[0] != BESIDE[1] or name.endswith(".smk")},
        {name: found[name] for name in (DVC_LOCK, REQUIREMENTS) if name in found},
    )


def describe(done: Exported) -> str:
    """What was written, for a person."""
    about = done.about
    what = "the whole experiment" if about.exported == ALL else about.exported
    data = "" if about.data else ", by digest: the artifacts' bytes are left out"
    signed = f"signed by {about.signer}" if about.signer else "not signed"
    return (
        f"{done.path}: {what}, {done.artifacts} artifacts in {done.files} files{data}, {done.size:,} bytes, {signed}\n"
        f"  sha256 {done.sha256}\n  check it with: sublim verify {done.path}{' --key PUBLIC' if about.signer else ''}"
    )


def _cell(what: str, planned: Mapping[str, object]) -> str:
    name = Path(what).as_posix().removeprefix(data_name("")).rstrip("/")
    if name == ALL or name in planned:
        return name
    around = [cell for cell in planned if name.startswith(f"{cell}/")]
    if around:
        return around[0]
    close = get_close_matches(name, planned, n=1, cutoff=0.5)
    meant = f"; did you mean {close[0]}?" if close else f", such as {next(iter(planned))}."
    raise SublimError(f"{what}: expected `all` or an artifact of this experiment{meant}")


def _within(tree: Tree, cells: Mapping[str, None]) -> Tree:
    names = {f"{cell}/{layout.RECORD}" for cell in cells}
    records = Tree(tree.name, {name: path for name, path in tree.files.items() if name in names})
    names |= {f"{cell}/{name}" for cell, record in records.records.items() for name in record.outputs}
    return Tree(tree.name, {name: path for name, path in tree.files.items() if name in names})


def _held(tree: Tree, about: About) -> Tree:
    names = {f"{cell}/{layout.RECORD}" for cell in (*tree.records, *tree.broken)}
    names |= {f"{cell}/{name}" for cell, record in tree.records.items() if about.holds(record) for name in record.outputs}
    return Tree(tree.name, {name: path for name, path in tree.files.items() if name in names})


def _given(origin: Origin, tree: Tree, about: About, modules: set[str]) -> dict[str, Path | bytes]:
    sources = {file for module in modules for file in module_files(module, origin.sources)}
    sources |= {name for name in origin.sources if name.split("/")[0] in BESIDE}
    members: dict[str, Path | bytes] = {ABOUT: about_text(about), PARAMS: origin.params, **origin.locks}
    members |= {data_name(name): path for name, path in tree.files.items()}
    members |= {code_name(name): origin.sources[name] for name in sources}
    for name in members:
        if why := harmful(name):
            raise SublimError(f"{name}: this name {why}: no bundle can have such a file.")
    return members


def _write(
    members: Mapping[str, Path | bytes], to: Path, about: About, artifacts: int, key: Ed25519PrivateKey | None
) -> Exported:
    with replacing(to) as temporary:
        archive.write(members, temporary)
        checked = verify(temporary, key.public_key() if key else None)
        if checked.findings:
            raise SublimError(_refusal(checked.findings, to.name))
    return Exported(to, about, artifacts, len(members), to.stat().st_size, sha256(to))


def _refusal(found: tuple[Finding, ...] | list[Finding], name: str) -> str:
    lines = [f"  {finding.artifact}: {WORDS[finding.status]}: {finding.found}" for finding in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"  and {len(found) - SHOWN} more")
    return (
        f"{name}: {len(found)} things do not hold, so nothing was exported:\n" + "\n".join(lines) + "\n"
        "`sublim audit` names them all with the commands that mend them; `snakemake -j8` mends what can be computed again."
    )


def _date(records: Mapping[str, Record]) -> str:
    """When the experiment was made, as far as that is known and the same for everybody: the date of the latest commit that its
    records name, or what SOURCE_DATE_EPOCH says (https://reproducible-builds.org/specs/source-date-epoch)."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if seconds is None:
        commits = sorted({git["commit"] for record in records.values() if (git := record.environment.get("git"))})
        found = [date for commit in commits if (date := _commit_date(commit)) is not None]
        seconds = max(found, key=int, default=None)
    if seconds is None or not seconds.isdecimal():
        raise SublimError("the records name no commit that is known here, so there is no date to give: say --date YYYY-MM-DD.")
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _commit_date(commit: str) -> str | None:
    for folder in (Path(), PACKAGE.parent):
        command = ["git", "-C", os.fspath(folder), "show", "--no-patch", "--format=%ct", commit]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def _archived(commit: str, names: tuple[str, ...]) -> dict[str, bytes]:
    """Path → bytes of the files of a commit that are, or lie in, `names`, relative to this folder."""
    listed = subprocess.run(["git", "ls-tree", "--name-only", commit, *names], capture_output=True, text=True, check=False)
    present = listed.stdout.splitlines()
    if not present:
        return {}
    done = subprocess.run(["git", "archive", "--format=tar", commit, *present], capture_output=True, check=False)
    if done.returncode:
        raise SublimError(f"git archive {commit}: {done.stderr.decode(errors='replace').strip()}")
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                found[member.name] = file.read()
    return found


def _modules() -> list[str]:
    """All modules of this package."""
    paths = [path.relative_to(PACKAGE.parent) for path in sorted(PACKAGE.rglob("*.py"))]
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]


def _output(content: Path | bytes) -> Output:
    return output(content) if isinstance(content, bytes) else Output(sha256(content), content.stat().st_size)
