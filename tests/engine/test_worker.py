"""The warm worker: who is out of date tells everyone who has asked."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sublim.engine import worker
from sublim.engine.worker import HEADER


def test_a_stale_worker_turns_away_everyone_who_has_connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".sublim").mkdir()
    ready, told = os.pipe()
    server = subprocess.Popen([sys.executable, "-m", "sublim.engine.worker", str(told)], pass_fds=[told])
    os.close(told)
    assert os.read(ready, 1) == b"1"
    time.sleep(1)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        request: dict[str, object] = {
            "cell": "base/model=a",
            "code": "of tomorrow",
            "packages": {},
            "cwd": ".",
            "environ": {},
            "into": None,
        }
        body = json.dumps(request).encode()
        clients = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
        for client in clients:
            client.connect(".sublim/worker.sock")
            socket.send_fds(client, [HEADER.pack(len(body))], [0, 1, 2])
            client.sendall(body)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    answers = [client.recv(HEADER.size, socket.MSG_WAITALL) for client in clients]
    assert [len(answer) for answer in answers] == [HEADER.size] * 3
    assert len(set(answers)) == 1
    assert server.wait(timeout=60) == 0


def test_what_transformers_computes_at_a_first_model_is_there_before_a_child_loads_one(monkeypatch: pytest.MonkeyPatch) -> None:
    names: Any = importlib.import_module("transformers.conversion_mapping")
    monkeypatch.setattr(names, "_checkpoint_conversion_mapping_cache", None)
    worker.prepare()

    def again() -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(names, "_build_checkpoint_conversion_mapping", again)
    names.get_checkpoint_conversion_mapping("gpt_neox")
