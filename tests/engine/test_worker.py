"""The warm worker: who is out of date tells everyone who has asked."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sublim.engine import worker
from sublim.engine.worker import HEADER
from tests.shared.project import ROOT

Started = Callable[[], "subprocess.Popen[bytes]"]
STATUS_STALE = HEADER.pack(worker.STALE)
OF_TOMORROW: dict[str, object] = {
    "cell": "base/model=a", "code": "of tomorrow", "packages": {}, "cwd": ".", "environ": {}, "into": None,
}  # fmt: skip


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Starts a worker in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path(".sublim").mkdir()
    servers: list[subprocess.Popen[bytes]] = []

    def started() -> "subprocess.Popen[bytes]":
        ready, told = os.pipe()
        command, code = [sys.executable, "-m", "sublim.engine.worker", str(told)], {"PYTHONPATH": os.fspath(ROOT)}
        servers.append(subprocess.Popen(command, pass_fds=[told], env=os.environ | code))
        os.close(told)
        assert os.read(ready, 1) == b"1"
        os.close(ready)
        return servers[-1]

    yield started
    for server in servers:
        server.kill()
        server.wait()


def connect() -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(".sublim/worker.sock")
    client.settimeout(60)
    return client


def ask(client: socket.socket, request: object = OF_TOMORROW) -> None:
    body = json.dumps(request).encode()
    socket.send_fds(client, [HEADER.pack(len(body))], [0, 1, 2])
    client.sendall(body)


def test_a_stale_worker_turns_away_everyone_who_has_connected(start: Started) -> None:
    server = start()
    time.sleep(1)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        clients = [connect() for _ in range(3)]
        for client in clients:
            ask(client)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    answers = [client.recv(HEADER.size, socket.MSG_WAITALL) for client in clients]
    assert answers == [STATUS_STALE] * 3
    assert server.wait(timeout=60) == 0


def test_who_says_nothing_or_nonsense_holds_up_nobody(start: Started) -> None:
    """Who is silent, stops in the middle of the length or of the request, or dribbles, does not even keep the worker there."""
    server = start()
    silent, half, cut = connect(), connect(), connect()
    half.sendall(b"\0")
    cut.sendall(HEADER.pack(1000) + b"{")
    for nonsense in (HEADER.pack(0xFFFFFFFF), HEADER.pack(2) + b"[]", HEADER.pack(2) + b"{]", HEADER.pack(2) + b"{}"):
        client = connect()
        client.sendall(nonsense)
        assert client.recv(HEADER.size) == b""
    ask(last := connect())
    assert last.recv(HEADER.size, socket.MSG_WAITALL) == STATUS_STALE
    assert server.wait(timeout=60) == 0
    for client in (silent, half, cut):
        client.close()


def test_who_is_silent_for_long_is_sent_away(start: Started) -> None:
    server = start()
    client = connect()
    client.sendall(b"\0")
    assert client.recv(1) == b""
    assert server.poll() is None


def test_what_transformers_computes_at_a_first_model_is_there_before_a_child_loads_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names: Any = importlib.import_module("transformers.conversion_mapping")
    monkeypatch.setattr(names, "_checkpoint_conversion_mapping_cache", None)
    worker.prepare()

    def again() -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(names, "_build_checkpoint_conversion_mapping", again)
    names.get_checkpoint_conversion_mapping("gpt_neox")
