"""Verifying a bundle in a process of its own, which ends when it takes more time or memory than a bundle of this size needs:
whatever a stranger has put into it, a person gets a sentence."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import TypeAdapter

from sublim.common.errors import SublimError
from sublim.evidence.finding import UNVERIFIABLE, Finding
from sublim.lineage.handover import signature
from sublim.lineage.handover.verify import Verified, verify

MIB, GIB = 1 << 20, 1 << 30
SECONDS, SECONDS_PER_MIB = 60, 20  #: Processor time: so much, and so much more for each MiB of the bundle.
MEMORY, MEMORY_PER_BYTE = GIB, 16  #: Memory, the same.
NO_MEMORY = 3  #: The exit status where Python itself has seen the end of it.
# Each thread has memory of its own; and what pyarrow would reserve for itself at once, a GiB, counts as used.
FEW = {
    **dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "MALLOC_ARENA_MAX"), "2"),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


def verify_apart(path: Path, key: Ed25519PublicKey | None) -> Verified:
    """As `verify`, in a process of its own. One that takes too much is a finding."""
    if not path.is_file():
        return verify(path, key)  # says so
    size, pem = path.stat().st_size, signature.pem(key).decode() if key else ""
    seconds, memory = SECONDS + SECONDS_PER_MIB * size // MIB, MEMORY + MEMORY_PER_BYTE * size
    command = [sys.executable, "-P", "-m", __name__, os.fspath(path.absolute()), str(seconds), str(memory), pem]
    with tempfile.TemporaryDirectory(prefix="sublim-") as folder:  # it may have no time to clear up itself
        environ = os.environ | FEW | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": folder}
        done = subprocess.run(command, env=environ, capture_output=True, check=False)
    if done.returncode == 0:
        return TypeAdapter(Verified).validate_json(done.stdout)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        spent = f"in {seconds:,} s of processor time"
    elif done.returncode in (NO_MEMORY, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS):
        spent = f"with {memory / GIB:.1f} GiB of memory"
    else:
        raise RuntimeError(f"verifying {path} ended with {done.returncode}:\n{done.stderr.decode(errors='replace')}")
    said = f"expected that a bundle of {size:,} bytes can be verified {spent}, found that it takes more: it was made to swell"
    return Verified((Finding(path.name, "bundle", UNVERIFIABLE, said, ""),))


def main(path: str, seconds: str, memory: str, pem: str) -> int:
    """Verify and print what was found as JSON, within these bounds. Returns the exit status."""
    for kind, most in ((resource.RLIMIT_CPU, int(seconds)), (resource.RLIMIT_DATA, int(memory)), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        found = verify(Path(path), signature.public_key_of(pem.encode()) if pem else None)
    except MemoryError:
        return NO_MEMORY
    except SublimError as error:
        found = Verified((Finding(Path(path).name, "bundle", UNVERIFIABLE, str(error), ""),))
    sys.stdout.buffer.write(TypeAdapter(Verified).dump_json(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
