"""Signed statements: a DSSE envelope (https://github.com/secure-systems-lab/dsse) with one ed25519 signature.

The cryptography is the library's; here is only the envelope around it. Keys are those that `openssl genpkey -algorithm ed25519`
and `ssh-keygen -t ed25519` write.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as keys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sublim.common.errors import SublimError

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class SignatureError(Exception):
    """An envelope that does not hold; the message says why."""


def private_key(path: Path, passphrase: Callable[[], str]) -> Ed25519PrivateKey:
    """The ed25519 private key in the file `path` (PEM or OpenSSH); `passphrase` is asked if it is locked. Raises SublimError:
    there is no such key in it."""
    text = _read(path, "a private key")
    load = keys.load_ssh_private_key if b"OPENSSH PRIVATE KEY" in text else keys.load_pem_private_key
    try:
        try:
            key = load(text, None)
        except TypeError:  # it is locked
            key = load(text, passphrase().encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SublimError(
            f"{path}: expected an ed25519 private key, as `openssl genpkey -algorithm ed25519` or `ssh-keygen -t ed25519` "
            f"writes it; this cannot be read as one ({error})."
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SublimError(f"{path}: expected an ed25519 private key, found one of another kind ({type(key).__name__}).")
    return key


def public_key(path: Path) -> Ed25519PublicKey:
    """The ed25519 public key in the file `path` (PEM, or a line as in `id_ed25519.pub`). Raises SublimError: there is no such
    key in it."""
    text = _read(path, "a public key")
    if b"PRIVATE KEY" in text:
        raise SublimError(f"{path}: expected a public key, found a private one. Keep that to yourself and ask for the other.")
    try:
        return public_key_of(text)
    except SignatureError as error:
        raise SublimError(f"{path}: expected an ed25519 public key (PEM, or as in id_ed25519.pub): {error}.") from None


def public_key_of(text: bytes) -> Ed25519PublicKey:
    """The public key that `text` is. Raises SignatureError: it is none."""
    try:
        key = (keys.load_ssh_public_key if text.startswith((b"ssh-", b"ecdsa-")) else keys.load_pem_public_key)(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"this cannot be read as a public key ({error})") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"this is a key of another kind ({type(key).__name__})")
    return key


def pem(key: Ed25519PublicKey) -> bytes:
    """The key as PEM, for `openssl`."""
    return key.public_bytes(keys.Encoding.PEM, keys.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PublicKey) -> str:
    """`SHA256:…`, as `ssh-keygen -l` shows it."""
    blob = base64.b64decode(key.public_bytes(keys.Encoding.OpenSSH, keys.PublicFormat.OpenSSH).split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def encoding(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding of the payload and its type."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """The envelope around `payload`, as JSON. Ed25519 draws nothing at random: the same payload and key, the same bytes."""
    return _text(payload, key.sign(encoding(payload)), fingerprint(key.public_key()))


def verify(envelope: bytes, key: Ed25519PublicKey) -> bytes:
    """The payload of `envelope`, if `key` has signed it. Raises SignatureError: the envelope is malformed, or its signature is
    not one by `key` over its payload."""
    try:
        read: dict[str, Any] = json.loads(envelope)
        payload = base64.b64decode(read["payload"], validate=True)
        kind, (signature,) = read["payloadType"], read["signatures"]
        claimed, signed = signature["keyid"], base64.b64decode(signature["sig"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise SignatureError(f"it is no DSSE envelope with one signature ({error!r})") from None
    if kind != PAYLOAD_TYPE:
        raise SignatureError(f"expected a payload of the type {PAYLOAD_TYPE}, found {kind}")
    mine = fingerprint(key)
    try:
        key.verify(signed, encoding(payload))
    except InvalidSignature:
        said = f"its signature is not one by the key {mine} over this statement: one of them was edited"
        raise SignatureError(said) from None
    if envelope != _text(payload, signed, mine):
        raise SignatureError(f"it is not written as `sublim export` writes it, or names another key than {mine}: {claimed}")
    return payload


def _text(payload: bytes, signed: bytes, signer: str) -> bytes:
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": signer, "sig": base64.b64encode(signed).decode()}],
    }
    return (json.dumps(envelope, indent=1) + "\n").encode()


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SublimError(f"{path}: expected {what}, but it cannot be read: {error.strerror}.") from None
