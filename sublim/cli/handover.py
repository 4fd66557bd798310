"""Commands for what is handed over: export, verify, card."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sublim.cli.app import HAND_OVER, PROVE, SUCH, AsJson, Params, Rev, X, app
from sublim.common.errors import SublimError


@app.command(rich_help_panel=HAND_OVER)
def export(
    what: Annotated[list[str], typer.Argument(metavar="X|all", help=f"`all`, or an artifact: {SUCH}.")],
    to: Annotated[Path, typer.Option(help="The file to write, e.g. experiment.zip.")],
    digests_only: Annotated[
        bool, typer.Option("--digests-only", help="Leave the bytes of the artifacts out, except the reports.")
    ] = False,
    sign: Annotated[
        Path | None, typer.Option(metavar="KEY", help="Sign it with this ed25519 private key (PEM or OpenSSH).")
    ] = None,
    rev: Rev = None,
    params: Params = None,
    date: Annotated[
        str | None, typer.Option(help="The date in its metadata; by default that of the commit that the records name.")
    ] = None,
) -> None:
    """Write an artifact, or the whole experiment, with everything that it was made from and what proves it, into one file.

    The file is a zip file and a Provenance Run RO-Crate with an in-toto statement in it. The same experiment gives the same
    bytes.
    """
    from sublim.lineage.handover import export as exporting
    from sublim.lineage.handover import signature

    key = signature.private_key(sign, _passphrase) if sign else None
    origin = exporting.at(rev, params) if rev else exporting.here(params)
    done = exporting.export(" ".join(what), to, origin, data=not digests_only, key=key, published=date and _date(date))
    print(exporting.describe(done))


@app.command(rich_help_panel=PROVE)
def verify(
    file: Annotated[Path, typer.Argument(help="A bundle that `sublim export` wrote.")],
    key: Annotated[
        Path | None, typer.Option(metavar="PUBLIC", help="The public key (PEM or OpenSSH) that must have signed it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that a bundle is whole and that its parts fit together; with a key, also who made it. Needs nothing but the file.

    The exit status is the sum of: 1 something is corrupted, 2 something is of another experiment, 4 something cannot be
    verified.

    The JSON has: findings (artifact, stage, status, found, mend), notes, about (exported, data, published, signer, format; or
    null), artifacts, files, signer (fingerprint or null), trusted (whether that is the given key).
    """
    from sublim.evidence.finding import WORDS
    from sublim.lineage.handover import signature
    from sublim.lineage.handover.apart import verify_apart as check

    found = check(file, signature.public_key(key) if key else None)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
    else:
        for finding in found.findings:
            print(f"{finding.artifact}: {WORDS[finding.status]}: {finding.found}")
        for note in found.notes:
            print(f"note: {note}")
        if found.findings:
            print(
                f"{file}: does not hold ({len(found.findings)} findings). Do not use it; ask those who made it for a new one."
            )
        else:
            who = f", signed by the given key {found.signer}" if found.trusted else ""
            print(f"{file}: holds: {found.artifacts} artifacts, {found.files} files{who}")
    raise typer.Exit(sum({finding.status for finding in found.findings}))


@app.command(rich_help_panel=HAND_OVER)
def card(
    what: X,
    rev: Rev = None,
    to: Annotated[Path | None, typer.Option(help="The file to write, e.g. README.md; by default it is printed.")] = None,
) -> None:
    """Write a provenance card: what made a data set or adapter, from what, what it could affect, and how to trace it.

    It is markdown with the front matter of the Hugging Face hub, to be used as README.md beside the files.
    """
    from sublim.common.files import write_text
    from sublim.evidence.tree import working
    from sublim.lineage.handover.card import card as describe
    from sublim.lineage.revision import revision

    text = describe(revision(rev) if rev else working(), " ".join(what), rev)
    if to is None:
        print(text, end="")
    else:
        write_text(to, text)


def _passphrase() -> str:
    return typer.prompt("Passphrase of the key", hide_input=True, err=True)


def _date(text: str) -> str:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise SublimError(f"--date {text}: expected a date such as 2026-01-31.") from None
