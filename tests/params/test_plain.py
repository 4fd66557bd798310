"""Files that can be no experiment: each is refused with its line, in seconds and in little memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sublim.params.load import ParamsError, load
from tests.shared.project import ROOT

START = """\
models:
  a: {kind: tiny, architecture: gpt_neox, seed: 1}
traits:
  fox: {kind: preference, category: animals, target: fox}
"""
PLAIN = "expected text, a number, true, false or null"
GOOD = f"{START}seeds: [1, 2]\n"
BOMB = "x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]\n" for n in range(1, 30)
)
PROGRAM = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from sublim.params.load import ParamsError, load
for name in sys.argv[1:]:
    try:
        load(Path(name))
    except ParamsError as error:
        print(repr(str(error)), flush=True)
# Of this program: what getrusage tells is never less than what the process had that started it.
(most,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(most)
"""


def refused(folder: Path, text: str) -> str:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError) as found:
        load(path)
    return str(found.value).replace(f"{path}", "params.yaml")


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("1", "a whole number"),
        ("007", "a whole number"),
        ("0x1f", "a whole number"),
        ("1.0", "a number"),
        ("1e3", "a number"),
        ("null", "nothing"),
        ("~", "nothing"),
        ("true", "true or false"),
        ("False", "true or false"),
        ("2026-11-29", "a date"),
    ],
)
@pytest.mark.parametrize("section", ["models", "traits", "judges", "carriers", "students", "studies", "categories"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, section: str, written: str, what: str) -> None:
    said = refused(tmp_path, f"seeds: [1]\n{section}:\n  {written}: {{}}\n")
    assert said == f'params.yaml:3: expected text as a key, found {written}, which is {what}: write "{written}".'


@pytest.mark.parametrize("name", ["1", "007", "null", "true", "2026-11-29"])
def test_the_same_name_in_quotes_is_a_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(GOOD.replace("  a:", f'  "{name}":').replace("  fox:", f"  '{name}':"), encoding="utf-8")
    found = load(path)
    assert [*found.models] == [*found.traits] == [name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{START}seeds: [.inf]\n", "params.yaml:5: expected a finite number, found .inf."),
        (f"{GOOD}report:\n  margin: -.Inf\n", "params.yaml:7: expected a finite number, found -.Inf."),
        (f"{GOOD}report:\n  margin: .nan\n", "params.yaml:7: expected a finite number, found .nan."),
        (f"{GOOD}report:\n  margin: 1e999\n", "params.yaml:7: expected a finite number, found 1e999."),
        (f"{START}seeds:\n  - 2026-11-29\n", f"params.yaml:6: {PLAIN}, found 2026-11-29, which is a date"),
        (f"{START}seeds: !!set {{1, 2}}\n", "params.yaml:5: expected a mapping or a list, found a set."),
        (f"{START}seeds: !!binary aGk=\n", f"params.yaml:5: {PLAIN}, found aGk=, which is bytes"),
        (f"{START}seeds: !mine 3\n", f"params.yaml:5: {PLAIN}, found 3, which is the type `mine`"),
        (f"{START}seeds: [{'9' * 5_000}]\n", "params.yaml:5: expected a number of at most 300 digits, found one of 5,000."),
        (f"{START}seeds: [0x{'f' * 5_000}]\n", "params.yaml:5: expected a number of at most 300 digits, found one of 5,002."),
        (f"{START}seeds: [0o7777777777777777777777777777777777]\n", "params.yaml:5: seeds.0: "),
        (f"{GOOD}? [a, b]\n: 1\n", "params.yaml:6: expected text as a key, found a list or a mapping."),
        (f"{GOOD}x: &x [*x]\n", "params.yaml:6: `*x` is part of what it stands for."),
        (f"{GOOD}x: &x a\n*x : 1\n", "params.yaml:7: expected text as a key, found `*x`."),
        (f"{GOOD}x: *y\n", "params.yaml:6: found undefined alias"),
        (f"{GOOD}---\n{GOOD}", "params.yaml:6: expected one YAML document, found a second one."),
        (GOOD.replace("fox}", "f\0x}"), "params.yaml:4: expected text, found the control character"),
        (GOOD.replace("fox}", "f\x1bx}"), "params.yaml:4: expected text, found the control character"),
        ("", "params.yaml:1: expected a mapping with the sections models"),
    ],
)  # fmt: skip
def test_what_is_no_plain_value_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert refused(tmp_path, text).startswith(expected)


def test_an_alias_is_what_it_stands_for(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        f"{START}seeds: &seeds [1, 2]\nstudies:\n  s: {{carrier: numbers, filter: strict, student: hard, seeds: *seeds}}\n",
        encoding="utf-8",
    )
    assert load(path).studies["s"].seeds == (1, 2)


def test_each_hostile_file_ends_in_seconds_and_little_memory(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(30 << 30)
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    texts = {
        "bomb": (BOMB, 5),
        "mapping-bomb": (
            "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}\n" for n in range(1, 60)),
            15,
        ),
        "deep": ("x: " + "[" * 3_000 + "]" * 3_000, 1),
        "deep-mapping": ("".join(" " * n + "x:\n" for n in range(700)), 41),
        "deep-flow": ("x: " + "{x: " * 3_000, 1),
        "wide": ("x: [" + "1," * 120_000 + "1]", 1),
    }
    for name, (text, _) in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    names = [*texts, "folder", "loop", "fifo", "sparse", "latin", "gone"]
    paths = [*(os.fspath(tmp_path / name) for name in names), "/dev/zero", "/dev/stdin"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *paths], capture_output=True, text=True, check=False, timeout=120,
                          env=os.environ | {"PYTHONPATH": os.fspath(ROOT)}, stdin=subprocess.PIPE)  # fmt: skip
    assert done.returncode == 0, done.stderr
    *said, memory = done.stdout.splitlines()
    assert len(said) == len(paths)
    for (name, (_, line)), line_said in zip(texts.items(), said, strict=False):
        assert f"/{name}:{line}: expected" in line_said
    for path, line_said in zip(paths[len(texts) :], said[len(texts) :], strict=True):
        assert f"{path}: " in line_said
    assert int(memory) * 1024 < 1 << 30


def test_a_name_that_no_file_has_is_refused() -> None:
    with pytest.raises(ParamsError, match="expected the name of a file"):
        load(Path("a\0b"))
