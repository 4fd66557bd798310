"""The warm worker: a server that has imported the heavy packages once and forks a child per job.

A process that imports torch, transformers and peft pays 5–6 CPU seconds, more than most tiny jobs compute. The first job that
needs the worker starts it; it ends by itself when it is idle. `SUBLIM_WORKER=0` turns it off: the same bytes, cold.
"""

import ctypes
import fcntl
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

from sublim.common.errors import SublimError
from sublim.common.terminal import speak_utf8
from sublim.engine import devices, environment, layout
from sublim.engine.code import bytes_digest
from sublim.engine.devices import Lease

IDLE_SECONDS = 30.0
START_SECONDS = 60.0
REQUEST_SECONDS = 10.0  #: How long a client may take to say what it wants; others are served meanwhile.
PARTING_SECONDS = 5.0  #: The same for all together who are told to ask another server.
LARGEST = 1 << 24  #: Bytes that a request may have: a whole environment fits many times.
HEADER = struct.Struct("!I")
STREAMS = 3  #: Descriptors of a request that are the client's input, output and errors.
MOST_DESCRIPTORS = STREAMS + devices.SEATS
STALE = 254
WARM_PACKAGES = ("torch", "transformers", "peft", "polars", "pydantic", "sublim", "numpy", "safetensors", "tokenizers")
PR_SET_PDEATHSIG = 1
_REQUEST = frozenset({"cell", "into", "cwd", "environ", "code", "packages"})
COMPUTE = "sublim.engine.compute"
"""The module whose `compute` a child runs: named, not imported, since it is what imports torch."""


def compute(cell: str, inputs: Iterable[str], into: Path | None = None, *, online: bool, keep: int | None = None) -> None:
    """Compute `cell`, which is made from the cells `inputs`, in the warm worker; cold where that is turned off, or where the
    job may use the network: nothing else may. Models in it run on a device that is leased for it (see `devices`).

    With `into`, make it again from what its record says, into that directory, and leave the artifact alone.

    Raises:
        SublimError: the computation failed; the reason is on standard error.
    """
    os.environ |= {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "TQDM_DISABLE": "1"}
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "POLARS_MAX_THREADS": "1"}
    os.environ |= {"HF_HUB_OFFLINE": "0" if online else "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    with devices.leased(devices.seats(cell, inputs)) as lease:
        # What a launcher starts mostly has a machine for itself, and ends with all that it has started.
        if online or os.environ.get("SUBLIM_WORKER", "0" if os.environ.get(layout.LAUNCHED) else "1") == "0":
            command = [sys.executable, "-m", COMPUTE, cell, *([] if into is None else [os.fspath(into)])]
            # A cold process goes on if this one is killed: it keeps the lock of the cell open, so that no other starts.
            kept = [*([] if keep is None else [keep]), *lease.descriptors]
            status = subprocess.run(command, check=False, pass_fds=kept, env=os.environ | lease.environ).returncode
        else:
            status = _ask(cell, into, lease)
    if status:
        raise SublimError(f"{cell}: not made (exit status {status}); the lines above say why.")


# --- the client


def _ask(cell: str, into: Path | None, lease: Lease) -> int:
    request = {
        "cell": cell,
        "into": None if into is None else os.fspath(into),
        "cwd": os.fspath(Path.cwd()),
        "environ": {**os.environ, **lease.environ},
        "code": bytes_digest(),
        "packages": environment.packages(),
    }
    body = json.dumps(request).encode()
    while True:
        with _connect() as connection:
            try:
                socket.send_fds(connection, [HEADER.pack(len(body))], [0, 1, 2, *lease.descriptors])
                connection.sendall(body)
                answer = connection.recv(HEADER.size, socket.MSG_WAITALL)
            except (ConnectionResetError, BrokenPipeError):
                answer = b""
        if len(answer) < HEADER.size:
            raise SublimError(
                f"{cell}: the worker process died; run snakemake again, which starts another. Its log: {layout.WORKER_LOG}"
            )
        (status,) = HEADER.unpack(answer)
        if status != STALE:
            return status


def _connect() -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            # A relative name: an absolute one may be longer than the 107 bytes that a socket address has.
            connection.connect(os.fspath(layout.SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise SublimError(f"the worker did not start in {START_SECONDS:.0f} s; its log: {layout.WORKER_LOG}") from None
            _start()
        else:
            return connection


def _start() -> None:
    """Start the server if no other client is doing so; return when somebody's is listening or has failed to."""
    layout.WORKER_LOG.parent.mkdir(parents=True, exist_ok=True)
    with layout.WORKER_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _listening():
            return
        layout.SOCKET.unlink(missing_ok=True)
        ready, told = os.pipe()
        with layout.WORKER_LOG.open("ab") as log:
            subprocess.Popen(  # it outlives this process
                [sys.executable, "-m", "sublim.engine.worker", str(told)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=[told],
            )  # fmt: skip
        os.close(told)
        # One byte when it listens, or the end of the pipe when it has died.
        os.read(ready, 1)
        os.close(ready)


def _listening() -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(layout.SOCKET))
        except OSError:
            return False
    return True


# --- the server


@dataclass
class _Job:
    connection: socket.socket
    pid: int


@dataclass
class _Client:
    """Who has connected, and what it has said so far. It is never waited for: it may say nothing, or stop in the middle."""

    connection: socket.socket
    deadline: float = field(default_factory=lambda: time.monotonic() + REQUEST_SECONDS)
    content: bytearray = field(default_factory=bytearray)
    descriptors: list[int] = field(default_factory=lambda: list[int]())

    def listen(self) -> dict[str, Any] | None:
        """Take what there is. Returns the request; None if more is to come. Raises OSError: it has gone away. ValueError: it
        says something that is no request."""
        try:
            chunk, descriptors, _, _ = socket.recv_fds(self.connection, 1 << 16, MOST_DESCRIPTORS)
        except BlockingIOError:
            return None
        self.descriptors += descriptors
        self.content += chunk
        if not chunk:
            raise ConnectionResetError
        if len(self.content) < HEADER.size:
            return None
        (length,) = HEADER.unpack_from(self.content)
        if length > LARGEST or len(self.descriptors) > MOST_DESCRIPTORS:
            raise ValueError(f"expected a request of at most {LARGEST} bytes and {MOST_DESCRIPTORS} descriptors")
        if len(self.content) < HEADER.size + length:
            return None
        request: object = json.loads(self.content[HEADER.size :])
        if not (isinstance(request, dict) and request.keys() >= {"code", "packages"}):  # of other code, the rest may differ
            raise ValueError("expected a request")
        self.connection.settimeout(None)
        return cast("dict[str, Any]", request)

    def leave(self, *, connected: bool = False) -> None:
        """Close what belongs to it; with `connected`, all but the connection."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors.clear()
        if not connected:
            self.connection.close()


def serve(told: int) -> None:
    """Listen, import, then fork a child per request until idle, replaced or out of date.

    The server itself draws no random number, starts no thread and touches no GPU.
    """
    code, packages = bytes_digest(), environment.packages()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    listener.bind(os.fspath(layout.SOCKET))
    os.umask(mask)
    listener.listen(256)
    mine = layout.SOCKET.stat().st_ino
    os.write(told, b"1")
    os.close(told)
    _import([COMPUTE, "torch", "transformers", "peft", "polars"])
    prepare()

    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    wake, poke = socket.socketpair()
    for end in (wake, poke):
        end.settimeout(0)
    signal.set_wakeup_fd(poke.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _noticed)
    selector.register(wake, selectors.EVENT_READ)
    jobs: dict[int, _Job] = {}
    clients: dict[int, _Client] = {}
    learned: dict[int, bytes] = {}
    busy = time.monotonic()
    open_for_more = True
    while True:
        for event, _ in selector.select(timeout=1.0):
            if event.fileobj is listener:
                client = _Client(listener.accept()[0])
                client.connection.settimeout(0)
                clients[client.connection.fileno()] = client
                selector.register(client.connection, selectors.EVENT_READ, client)
            elif isinstance(event.data, _Client):
                try:
                    request = event.data.listen()
                except (OSError, ValueError):
                    event.data.deadline = 0.0
                    continue
                if request is None:
                    continue
                selector.unregister(event.data.connection)
                del clients[event.data.connection.fileno()]
                others = [*clients.values(), *(_Client(found.connection) for found in jobs.values())]
                started = _begin(event.data, request, code, packages, [listener, wake, poke], others)
                if started is None:
                    open_for_more = False
                else:
                    job, pipe = started
                    jobs[job.pid] = job
                    learned[pipe] = b""
                    selector.register(job.connection, selectors.EVENT_READ, job)
                    selector.register(pipe, selectors.EVENT_READ, pipe)
            elif event.fileobj is wake:
                with suppress(BlockingIOError):
                    wake.recv(4096)
            elif isinstance(event.data, _Job):
                # A client never speaks again: readable means that it is gone, and its job with it.
                with suppress(ProcessLookupError):
                    os.killpg(event.data.pid, signal.SIGKILL)
                selector.unregister(event.data.connection)
            else:
                chunk = os.read(event.data, 65536)
                learned[event.data] += chunk
                if not chunk:
                    selector.unregister(event.data)
                    os.close(event.data)
                    _import(json.loads(learned.pop(event.data) or b"[]"))
        for descriptor in [each for each, client in clients.items() if client.deadline < time.monotonic()]:
            selector.unregister(clients[descriptor].connection)
            clients.pop(descriptor).leave()
        for pid, status in _reap():
            job = jobs.pop(pid)
            with suppress(KeyError):
                selector.unregister(job.connection)
            with suppress(OSError):
                job.connection.sendall(HEADER.pack(status))
            job.connection.close()
        if jobs:
            busy = time.monotonic()
        mine_still = layout.SOCKET.exists() and layout.SOCKET.stat().st_ino == mine
        if not open_for_more and mine_still:
            layout.SOCKET.unlink()
            mine_still = False
        if not jobs and (not mine_still or time.monotonic() - busy > IDLE_SECONDS):
            # Unlinked before it is closed: a client that finds no socket starts another server and waits for none.
            if mine_still:
                layout.SOCKET.unlink(missing_ok=True)
            _turn_away(listener, [*clients.values()])
            return


def _turn_away(listener: socket.socket, clients: Iterable[_Client]) -> None:
    """Tell `clients` and those who have connected since to ask another server: closing would look like dying. What they say is
    heard first, else it would look so all the same."""
    listener.settimeout(0)
    waiting = list(clients)
    with suppress(BlockingIOError):
        while True:
            waiting.append(_Client(listener.accept()[0]))
    end = time.monotonic() + PARTING_SECONDS
    for client in waiting:
        with suppress(OSError, ValueError):
            while client.listen() is None and (left := end - time.monotonic()) > 0:
                select.select([client.connection], [], [], left)
                client.connection.settimeout(0)
            client.connection.sendall(HEADER.pack(STALE))
        client.leave()


def _noticed(number: int, frame: FrameType | None) -> None:
    """A child has ended; the wake-up descriptor has told the loop."""


def _begin(
    client: _Client,
    request: dict[str, Any],
    code: str,
    packages: dict[str, str],
    inherited: Iterable[socket.socket],
    others: Iterable[_Client],
) -> tuple[_Job, int] | None:
    """Fork the child of a request; None: this server runs other code than the client. The child closes what is `inherited` and
    what belongs to `others`."""
    connection = client.connection
    if request["code"] != code or request["packages"] != packages or not request.keys() >= _REQUEST:
        with suppress(OSError):
            connection.sendall(HEADER.pack(STALE))
        client.leave()
        return None
    server = os.getpid()
    pipe, told = os.pipe()
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        _die_with(server)
        for number, descriptor in enumerate(client.descriptors[:STREAMS]):
            os.dup2(descriptor, number)
        # The others are the client's lease of a device: open, and by that held, until this child ends.
        for other in [*inherited, connection]:
            other.close()
        for each in others:
            each.leave()
        os.close(pipe)
        _child(request, told)
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    os.close(told)
    client.leave(connected=True)
    return _Job(connection, pid), pipe


def _child(request: dict[str, Any], told: int) -> None:
    """The rest of the child's life: the job in the client's directory and environment; then it tells what it had to import."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environ"])
        before = set(sys.modules)
        compute = importlib.import_module(COMPUTE).compute
        status = compute(request["cell"], None if request["into"] is None else Path(request["into"]))
        new = [name for name in sys.modules if name not in before and name.split(".")[0] in WARM_PACKAGES]
        os.write(told, json.dumps(new).encode()[:60_000] if len(json.dumps(new)) < 60_000 else b"[]")
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _import(names: Iterable[str]) -> None:
    """Import what children of this server needed, so that the next child finds it. What cannot be imported alone stays out."""
    for name in names:
        if name not in sys.modules:
            with suppress(Exception):
                importlib.import_module(name)


def prepare() -> None:
    """Compute what every child would at the first model that it loads: transformers' table of the names of weights in
    checkpoints, a thousand regular expressions: a third of a second, as much as a quarter of an evaluation."""
    with suppress(Exception):  # a version that keeps it elsewhere: then each child computes it, as before
        names = importlib.import_module("transformers.conversion_mapping")
        names.get_checkpoint_conversion_mapping("")


def _reap() -> list[tuple[int, int]]:
    done: list[tuple[int, int]] = []
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            code = os.waitstatus_to_exitcode(status)
            done.append((pid, code if code >= 0 else 128 - code))
    return done


def _die_with(server: int) -> None:
    """Ask the kernel to kill this child when the server dies: the client reports a failure, and nobody may be left writing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    speak_utf8()
    serve(int(sys.argv[1]))
