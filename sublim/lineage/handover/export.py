"""Writing a bundle: an artifact, or the whole experiment, with everything that it was made from and what proves it."""

import io
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sublim.common.errors import SublimError
from sublim.common.files import replacing, sha256
from sublim.common.names import harmful
from sublim.engine import environment, layout
from sublim.engine.code import PACKAGE, files_of, source
from sublim.engine.record import Output, Record
from sublim.engine.workflow import remembered_params
from sublim.evidence.finding import WORDS, Finding
from sublim.evidence.tree import Tree, working
from sublim.evidence.words import listed
from sublim.lineage.handover import archive, content, signature
from sublim.lineage.handover.bundle import about_text, following, module_files, output, workflow_files
from sublim.lineage.handover.content import About, code_name, data_name
from sublim.lineage.handover.examine import Parts, examine, needed, plan
from sublim.lineage.handover.verify import verify
from sublim.lineage.naming import artifact
from sublim.lineage.revision import git, resolve, revision

BESIDE = ("Snakefile", "workflow")  #: What of the source is not in the package.


@dataclass(frozen=True)
class Origin:
    """Where a bundle is made from: what is here now, or a git revision."""

    tree: Tree
    params: bytes
    sources: Mapping[str, bytes]  #: Name, such as `code/sublim/common/ids.py` or `code/Snakefile` → source code.
    locks: Mapping[str, bytes]  #: requirements.lock and dvc.lock, if they are there.


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
    """Write the bundle of `what`, an artifact as a person names it or `all`, to the file `to`: the same experiment, the same
    bytes. The bundle is verified before it is put in its place.

    `origin`: see `here` and `at`. `data`: whether the bytes of the artifacts go into it; those of the report always do. `key`
    signs it. `published`: the date of publication; by default that of the commit that the records name.
    Raises SublimError: the experiment has no such artifact, or an artifact does not hold.
    """
    with tempfile.TemporaryDirectory(prefix="sublim-") as folder:
        params = Path(folder) / content.PARAMS
        params.write_bytes(origin.params)
        try:
            experiment, planned = plan(params)
        except SublimError as error:
            raise SublimError(str(error).replace(f"{folder}/", "")) from None
        cell = _cell(what, origin.tree, planned)
        signer = signature.fingerprint(key.public_key()) if key else None
        whole = origin.tree.part(needed(cell, planned))
        about = About(cell, data, published or _date(whole.records), signer)
        tree = _held(whole, about)
        members = _given(origin, tree, about) | ({content.SIGNER: signature.pem(key.public_key())} if key else {})
        files = {name: _output(given) for name, given in members.items()}
        if found := examine(Parts(about, tree, files, origin.sources, planned)):
            raise SublimError(_refusal(found, origin.tree.name))
        made = following(about, tree.records, files, experiment)
        members |= made
        if key:
            members[content.ENVELOPE] = signature.sign(made[content.STATEMENT], key)
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
    tree = working()
    beside = [root / BESIDE[0], *sorted(path for path in (root / BESIDE[1]).rglob("*.smk") if path.is_file())]
    named = sorted({*_package(), *(module for record in tree.records.values() for module in record.plan.code)})
    package = [file for module in named if source(module).is_file() for file in files_of(source(module))]
    sources = {code_name(file.relative_to(PACKAGE.parent).as_posix()): file.read_bytes() for file in package}
    sources |= {code_name(file.relative_to(root).as_posix()): file.read_bytes() for file in beside}
    places = {content.DVC_LOCK: (Path(),), content.REQUIREMENTS: (Path(), PACKAGE.parent)}
    paths = [(name, folder / name) for name, folders in places.items() for folder in reversed(folders)]
    return Origin(tree, text, sources, {name: path.read_bytes() for name, path in paths if path.is_file()})


def at(rev: str, params: Path | None) -> Origin:
    """What a git revision has versioned, without a checkout."""
    commit, tree = resolve(rev), revision(rev)
    experiment = (params or Path(content.PARAMS)).as_posix()
    packages = {module.partition(".")[0] for record in tree.records.values() for module in record.plan.code} | {PACKAGE.name}
    found = _archived(commit, (experiment, *BESIDE, content.DVC_LOCK, content.REQUIREMENTS), packages)
    for name in (experiment, BESIDE[0]):
        if name not in found:
            raise SublimError(f"{rev}: has no {name} in this folder, so there is nothing to tell what its artifacts are.")
    first = {name: re.split("[/.]", name)[0] for name in found}
    rules = {name for name in found if first[name] == BESIDE[1] and name.endswith(".smk")}
    sources = {code_name(name): found[name] for name in found if name in rules or first[name] in (*packages, BESIDE[0])}
    locks = {name: found[name] for name in (content.DVC_LOCK, content.REQUIREMENTS) if name in found}
    return Origin(tree, found[experiment], sources, locks)


def describe(done: Exported) -> str:
    """What was written, for a person."""
    about = done.about
    what = "the whole experiment" if about.exported == content.ALL else about.exported
    data = "" if about.data else ", by digest: the artifacts' bytes are left out"
    signed = f"signed by {about.signer}" if about.signer else "not signed"
    return (
        f"{done.path}: {what}, {done.artifacts} artifacts in {done.files} files{data}, {done.size:,} bytes, {signed}\n"
        f"  sha256 {done.sha256}\n  check it with: sublim verify {done.path}{' --key PUBLIC' if about.signer else ''}"
    )


def _cell(what: str, tree: Tree, planned: Collection[str]) -> str:
    cell = what if what == content.ALL else artifact(what.split(), tree, planned)
    if cell != content.ALL and cell not in planned:
        raise SublimError(f"{cell}: expected `all` or an artifact of this experiment, found one that it has no use for.")
    return cell


def _held(tree: Tree, about: About) -> Tree:
    names = {f"{cell}/{layout.RECORD}" for cell in (*tree.records, *tree.broken)}
    names |= {f"{cell}/{name}" for cell, record in tree.records.items() if about.holds(record) for name in record.outputs}
    return Tree(tree.name, {name: path for name, path in tree.files.items() if name in names})


def _given(origin: Origin, tree: Tree, about: About) -> dict[str, Path | bytes]:
    modules = {module for record in tree.records.values() for module in record.plan.code}
    sources = {file for module in modules for file in module_files(module, origin.sources)}
    sources |= {*workflow_files(origin.sources), *({content.LISTS} & origin.sources.keys())}
    members: dict[str, Path | bytes] = {content.ABOUT: about_text(about), content.PARAMS: origin.params, **origin.locks}
    members |= {data_name(name): path for name, path in tree.files.items()}
    members |= {name: origin.sources[name] for name in sources}
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
    lines = [f"{finding.artifact}: {WORDS[finding.status]}: {finding.found}" for finding in found]
    return (
        f"{name}: {len(found)} things do not hold, so nothing was exported:{listed(lines)}\n"
        "`sublim audit` names them all with the commands that mend them; `snakemake -j8` mends what can be computed again."
    )


def _date(records: Mapping[str, Record]) -> str:
    """When the experiment was made, as far as that is known and the same for everybody: the date of the latest commit that its
    records name, or what SOURCE_DATE_EPOCH says (https://reproducible-builds.org/specs/source-date-epoch)."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if seconds is None:
        commits = sorted({git["commit"] for record in records.values() if (git := environment.commit(record.environment))})
        found = [date for commit in commits if (date := _commit_date(commit)) is not None]
        seconds = max(found, key=int, default=None)
    if seconds is None or not seconds.isdecimal():
        raise SublimError("the records name no commit that is known here, so there is no date to give: say --date YYYY-MM-DD.")
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _commit_date(commit: str) -> str | None:
    for folder in (Path(), PACKAGE.parent):
        command = ["git", "-C", os.fspath(folder), "show", "--no-patch", "--format=%ct", commit]
        with suppress(OSError):  # no git: no date
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout.strip()
    return None


def _archived(commit: str, names: tuple[str, ...], packages: Collection[str]) -> dict[str, bytes]:
    """Path → bytes of the files of a commit that are, or lie in, `names` or Python `packages`, relative to this folder."""
    listed = (git("ls-tree", "--name-only", commit, *names) or "").splitlines()
    every = (git("ls-tree", "--name-only", commit) or "").splitlines()
    present = sorted({*listed, *(name for name in every if name.partition(".")[0] in packages)})
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


def _package() -> list[str]:
    """All modules of this package."""
    paths = [path.relative_to(PACKAGE.parent) for path in sorted(PACKAGE.rglob("*.py"))]
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]


def _output(given: Path | bytes) -> Output:
    return output(given) if isinstance(given, bytes) else Output(sha256(given), given.stat().st_size)
