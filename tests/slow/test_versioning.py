"""DVC as its users know it: docs/versioning.md is run as it stands there; S3, and going back and forth between revisions."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from shlex import quote

import pytest
from moto.server import ThreadedMotoServer

from tests.shared.project import ROOT, Project, once

GUIDE = ROOT / "docs" / "versioning.md"
MARK = "@@@ "
KEY = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "a secret of theirs"}


@dataclass(frozen=True)
class Step:
    """A command of the guide and what it prints there."""

    line: int
    command: str
    shown: str


def steps(text: str) -> list[list[Step]]:
    """The commands of every ```console block of a page, block by block."""
    blocks: list[list[Step]] = []
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        first = text[: block.start(1)].count("\n") + 1
        blocks.append([])
        for step in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block[1], re.MULTILINE):
            blocks[-1].append(Step(first + block[1][: step.start()].count("\n"), step[1], step[2]))
    return blocks


def pattern(shown: str) -> str:
    """What a command has to print: the lines shown, where … stands for anything in a line, and a line of its own for lines.

    Blank space is as wide as it likes, as in tables; empty lines do not count.
    """
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    return "".join(r"(?:.*\n)*?" if line == "…" else _line(line) + r"[ \t]*\n" for line in lines)


def _line(line: str) -> str:
    words = [re.escape(word).replace("…", ".*?") for word in line.split()]
    return r"[ \t]*" + r"[ \t]+".join(words)


def printed(output: str) -> str:
    """What a terminal would show of `output`: without colours, lines that were overwritten, and empty lines."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output)
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in plain.replace("\r\n", "\n").split("\n")]
    return "".join(f"{line}\n" for line in lines if line)


def play(project: Project, block: list[Step], instead: dict[str, str]) -> None:
    """Run the commands of a block in one shell, in the project's folder, and compare what they print.

    Args:
        project: where the reader is.
        block: the commands.
        instead: what stands in the guide → what it is on this machine.
    """

    def here(text: str) -> str:
        for theirs, ours in instead.items():
            text = text.replace(theirs, ours)
        return text

    # `sublim` is the code of this project: the installed one may be that of another folder.
    script = f'sublim() {{ {quote(sys.executable)} -m sublim "$@"; }}\n'
    script += "".join(f"{here(step.command)}\nprintf '\\n{MARK}%s\\n' $?\n" for step in block)
    output = project.run("bash", "-c", script, check=True, PAGER="cat", **KEY).output
    parts = re.split(rf"^{MARK}(\d+)\n", output, flags=re.MULTILINE)
    assert len(parts) == 2 * len(block) + 1, output
    for step, text, status in zip(block, parts[0::2], parts[1::2], strict=False):
        where = f"{GUIDE.name}:{step.line}: $ {step.command}"
        assert status == "0", f"{where}\nended with {status}:\n{text}"
        assert re.fullmatch(pattern(here(step.shown)), printed(text)), (
            f"{where}\nshould print\n{here(step.shown)}\nbut prints\n{printed(text)}"
        )


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The address of a server that speaks S3, with a bucket `lab`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    connection = HTTPConnection(host, port)
    connection.request("PUT", "/lab")
    assert connection.getresponse().status == 200
    connection.close()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.long
def test_the_guide_does_what_it_says(project: Project, tmp_path: Path, store: str) -> None:
    instead = {"/mnt/lab/sublim": os.fspath(tmp_path / "remote"), "https://s3.example.org": store}
    blocks = steps(GUIDE.read_text(encoding="utf-8"))
    assert blocks
    for block in blocks:
        play(project, block, instead)


@pytest.mark.parametrize(
    ("shown", "output", "matches"),
    [
        ("a\nb\n", "a\n\nb \n", True),
        ("a\nb\n", "a\nc\nb\n", False),
        ("a\n…\nb\n", "a\nc\nd\nb\n", True),
        ("a\n…\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a … c\n", "a   12   c\n", True),
        ("a … c\n", "a   12   d\n", False),
        ("…\n", "", True),
        ("", "a\n", False),
    ],
)
def test_what_the_guide_shows_is_compared_line_by_line(shown: str, output: str, matches: bool) -> None:
    assert bool(re.fullmatch(pattern(shown), printed(output))) is matches


def test_commands_of_a_page_are_found_with_what_they_print() -> None:
    page = "text\n\n```console\n$ one\n1\n$ two\n```\n\n```sh\nnot this\n```\n\n```console\n$ three\n3\n\n4\n```\n"
    assert steps(page) == [[Step(4, "one", "1\n"), Step(6, "two", "")], [Step(14, "three", "3\n\n4\n")]]


@pytest.fixture(scope="session")
def history(committed: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three versions: `first`, `fewer` (an arm less) and `code` (two stages compute otherwise). Copy it, do not touch it."""

    def make(path: Path) -> None:
        project = committed.copy(path)
        project.git("tag", "first")
        project.edit("params.yaml", "shuffled_across: same", "shuffled_across: none")
        _version(project, "fewer")
        project.edit("sublim/stages/report/make.py", "indent=2", "indent=1")
        project.edit("sublim/carriers/numbers.py", "_HUGE = 2**63 - 1", "_HUGE = 2**63 - 2")
        _version(project, "code")

    return once(tmp_path_factory, "history", make)


def _version(project: Project, tag: str) -> None:
    """Run, commit, tag."""
    project.dvc("repro")
    project.git("add", "-A")
    project.git("commit", "-qm", tag)
    project.git("tag", tag)


def _nothing_to_compute(project: Project) -> None:
    """The audit passes, and neither engine has anything to do."""
    start = len(project.events())
    assert project.sublim("audit", "--full").status == 0
    assert project.dvc("status").output.strip() == "Data and pipelines are up to date."
    assert "Nothing to be done" in project.snakemake().output
    project.dvc("repro")
    assert project.events()[start:] == []
    assert project.git("status", "--short").output == ""


def test_going_back_and_forth_there_is_nothing_to_compute(history: Project, tmp_path: Path) -> None:
    project = history.copy(tmp_path / "project")
    project.dvc("config", "--local", "cache.type", "symlink")  # the guide does the same with copies
    project.dvc("checkout", "--relink")
    seen = {"code": project.digests()}
    for rev in ("first", "code", "fewer", "first"):
        project.git("checkout", "-q", rev)
        project.dvc("checkout")
        _nothing_to_compute(project)
        digests = project.digests()
        assert seen.setdefault(rev, digests) == digests
    assert len({str(digests) for digests in seen.values()}) == len(seen)
    assert not any("arm=shuffled_across" in file for file in seen["fewer"])


def test_pages_of_dvc_open_without_a_network(history: Project, tmp_path: Path) -> None:
    project = history.copy(tmp_path / "project")
    page = project.path / "dvc_plots" / "index.html"
    project.dvc("plots", "diff", "first", "fewer")
    assert "<script src=" in page.read_text(encoding="utf-8"), "DVC's own page asks the network for nothing: no need for ours"
    project.sublim("offline")
    project.dvc("plots", "diff", "first", "fewer")
    text = page.read_text(encoding="utf-8")
    assert "<script src=" not in text
    assert text.index("window.vegaEmbed=") < text.index("vegaEmbed('#")
    assert project.git("status", "--short").output == ""


def test_a_version_that_was_committed_past_the_computation_fails_its_audit(history: Project, tmp_path: Path) -> None:
    project = history.copy(tmp_path / "project")
    project.edit("sublim/stages/report/make.py", "indent=1", "indent=3")
    project.dvc("commit", "-f", "report")
    done = project.dvc("repro", check=False)
    assert done.status != 0
    assert "data/report/study=numbers: stale: its plan has changed: code.sublim.stages.report.make" in done.output


def test_a_queued_experiment_runs_the_code_that_it_was_queued_with(history: Project, tmp_path: Path) -> None:
    project = history.copy(tmp_path / "project")
    project.dvc("exp", "run", "--queue", "--name", "wide", "-S", "+report.confidence=0.9")
    project.edit("sublim/stages/report/make.py", "indent=1", "indent=4")
    project.dvc("exp", "run", "--run-all")
    assert "Success" in project.dvc("queue", "status").output, project.dvc("queue", "logs", "wide", check=False).output
    project.git("checkout", "-q", ".")
    project.dvc("exp", "apply", "wide")
    start = len(project.events())
    assert project.sublim("audit", "--full").status == 0
    project.snakemake()
    assert project.events()[start:] == []
    assert '\n "diagonal"' in (project.path / "data/report/study=numbers/metrics.json").read_text(encoding="utf-8")
