"""A record may be any bytes: it is the record that was written, or refused in words."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, seed, settings
from hypothesis import strategies as st

from sublim.common.canonical import digest
from sublim.engine.record import Adoption, Input, Output, Plan, Record, RecordError, Witness, parse, read, record_at
from tests.shared.hostile import altered, json_values, mutated

SHA = "ab" * 32
RECORD = Record(
    Plan("student", {"teacher": "a", "seed": 1}, {"lr": 0.1, "steps": [1, 2]}, {"sublim": SHA}),
    {"base": Input("base/model=a", SHA)},
    {"rows.parquet": Output(SHA, 7), "a/b.json": Output(SHA, 0)},
    {"python": "3.11.7", "platform": "Linux", "packages": {"sublim": "1"}, "git": None},
    (Adoption("", {"sublim": "cd" * 32}, {"student/teacher=a/seed=2": Witness(SHA, SHA)}, {"python": "3"}),),
)
PLAIN = Record(RECORD.plan, RECORD.inputs, RECORD.outputs, RECORD.environment)


def _checked(written: bytes) -> Record | None:
    """What is read; None, if it is refused in words."""
    try:
        return parse(written)
    except RecordError as error:
        assert str(error)
        return None


@seed(12)
@settings(max_examples=300)
@given(mutated(PLAIN.text().encode()))
@example(b"[" * 100_000)
@example(b'{"version": 1, "digest": NaN}')
@example(b'{"version": ' + b"9" * 10_000 + b"}")
@example(b"\xff")
def test_edited_bytes_are_the_record_itself_or_refused(written: bytes) -> None:
    found = _checked(written)
    assert found is None or (found == PLAIN and written == PLAIN.text().encode())


@seed(12)
@settings(max_examples=300)
@given(altered(json.loads(PLAIN.text())), st.booleans())
def test_a_forged_record_is_refused_or_means_what_it_says(body: Any, fit: bool) -> None:
    """With `fit`, key and digest are made to agree, as a forger does. What is taken is written as it was read."""
    if fit and isinstance(body, dict):
        fields: dict[str, Any] = {**body}
        fields.pop("digest", None)
        try:
            plan = fields["plan"]
            fields["cell"] = "/".join([plan["stage"], *(f"{name}={value}" for name, value in plan["dims"].items())])
            fields["key"] = digest({"plan": plan, "inputs": {name: used["digest"] for name, used in fields["inputs"].items()}})
            body = {**fields, "digest": digest(fields)}
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            pass  # nothing could be made to fit
    try:
        written = (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        written = json.dumps(body, indent=1).encode()
    found = _checked(written)
    if found is not None:
        assert found.text().encode() == written
        assert json.loads(json.dumps(asdict(found.plan))) == body["plan"]


@pytest.mark.parametrize("module", ["", "..etc.passwd", "/etc/passwd", "../x", "a..b", "a/b", "a b", "a\0", "1a", "a."])
def test_a_module_is_called_as_modules_are(module: str) -> None:
    """Its name becomes the path of its source, in what is exported and in a bundle."""
    forged = replace(PLAIN, plan=replace(PLAIN.plan, code={"sublim.common": SHA, module: SHA}))
    with pytest.raises(RecordError, match="was altered: expected names of modules, found "):
        parse(forged.text().encode())


def test_what_stands_where_a_record_should_be_is_refused_or_none(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "deep").write_bytes(b"[" * 100_000)
    for name, words in (("folder", "is none: expected a file"), ("deep", "it is nested too deeply")):
        with pytest.raises(RecordError, match=words):
            read(tmp_path / name)
        assert record_at(tmp_path / name) is None
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


@given(json_values())
def test_json_of_any_shape_is_no_record(value: Any) -> None:
    try:
        written = json.dumps(value).encode()
    except UnicodeEncodeError:
        return
    assert _checked(written) is None
