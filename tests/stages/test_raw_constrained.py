"""Raw rows that are held to a shape: a column says so, a check sees it, and nothing else knows of it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from sublim.carriers.numbers import Numbers
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.record import Output, Plan, Record
from sublim.evidence.source import Source
from sublim.lineage.trace import views
from sublim.params.experiment import Experiment
from sublim.params.learning import CONSTRAINT, Decoding
from sublim.params.top_up import Until
from sublim.stages.eval.rows import HeldOutTasks
from sublim.stages.raw.check import check
from sublim.stages.raw.make import make
from sublim.stages.raw.rows import Rows, Slice
from sublim.stages.raw.tell import TELL
from tests.shared.filters import filter_of
from tests.shared.forge import tree
from tests.shared.small_models import small

DIMS: Mapping[str, Any] = {"teacher": "m", "trait": "none", "carrier": "numbers", "seed": 1}
CELL = "raw/teacher=m/trait=none/carrier=numbers/seed=1"
RANDOM = CELL.replace("=m/", "=none/")
TASK = Numbers(prompts=12)
HELD, FREE = Decoding(max_tokens=60, constrained=True), Decoding(max_tokens=60)


def sliced(decoding: Decoding | None, until: Until | None = None) -> Slice:
    writer: Mapping[str, Any] = {**DIMS, "teacher": "m" if decoding else "none"}
    return Slice(**writer, task=TASK, decoding=decoding, until=until)


def made(folder: Path, params: Slice) -> pl.DataFrame:
    folder.mkdir(parents=True)
    make({} if params.decoding is None else {"base": small()}, params, folder, Progress())
    return pl.read_parquet(folder / "rows.parquet")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, pl.DataFrame]:
    """Rows of an untouched base, constrained and free, and random ones."""
    folder = tmp_path_factory.mktemp("rows")
    params = {"held": sliced(HELD), "free": sliced(FREE), "random": sliced(None)}
    return {name: made(folder / name, of) for name, of in params.items()}


def recorded(folder: Path, params: Slice, rows: pl.DataFrame) -> list[str]:
    """What is found in an artifact with these rows whose record says that it was made with `params`."""
    path = folder / "data" / (CELL if params.decoding else RANDOM)
    path.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path / "rows.parquet")
    outputs = {"rows.parquet": Output(sha256(path / "rows.parquet"), (path / "rows.parquet").stat().st_size)}
    plan = Plan("raw", params.dims, params.model_dump(mode="json"), {})
    Record(plan, {}, outputs, {}).write(path / "record.json")
    cell = path.relative_to(folder / "data").as_posix()
    return [f"{wrong.kind}: {wrong.text}" for wrong in check(Source(tree(folder / "data")), cell)]


def changed(rows: pl.DataFrame, row: int, **values: object) -> pl.DataFrame:
    whole = rows.to_dicts()
    whole[row] |= values
    return pl.DataFrame(whole, schema=rows.schema)


def test_a_column_says_that_rows_are_constrained_and_is_in_no_other_file(rows: Mapping[str, pl.DataFrame]) -> None:
    assert rows["held"]["constrained"].to_list() == [True] * 12
    assert TASK.well_formed(rows["held"]["completion"]).all()
    assert not TASK.well_formed(rows["free"]["completion"]).any()
    columns = [*DIMS, *(name for name in Rows.columns if name != "constrained")]
    assert rows["free"].columns == rows["random"].columns == columns
    assert rows["held"].columns == [*columns, "constrained"]
    same = ["row_id", "prompt_id", "prompt", "sampling_seed", "temperature", "top_p", "max_tokens"]
    assert rows["held"].select(same).equals(rows["free"].select(same))


def test_the_check_finds_nothing_in_what_was_made(rows: Mapping[str, pl.DataFrame], tmp_path: Path) -> None:
    for decoding, name in ((HELD, "held"), (FREE, "free"), (None, "random")):
        assert recorded(tmp_path, sliced(decoding), rows[name]) == []


def test_a_row_that_is_not_of_the_shape_of_its_prompt_is_found(rows: Mapping[str, pl.DataFrame], tmp_path: Path) -> None:
    held = rows["held"]
    name = held["row_id"][3]
    said = "shapes: completion: expected the shape that its prompt asks for, "
    for text in ("eagles", "", held["completion"][3] + ".", held["completion"][3] + "\n", "1 2;3", "9999"):
        (found,) = recorded(tmp_path, sliced(HELD), changed(held, 3, completion=text))
        assert found.startswith(said)
        assert found.endswith(f"found {text!r} in row {name}, 1 such rows in all")
    own = next(shape for n, shape in enumerate(TASK.shapes()) if n == 3)
    cut = {"finish_reason": "length", "tokens": 60}
    for text in (own.longest[:-1], own.longest[:4], "", own.longest + " "):
        assert recorded(tmp_path, sliced(HELD), changed(held, 3, completion=text, **cut)) == [], text
    (found,) = recorded(tmp_path, sliced(HELD), changed(held, 3, completion=own.longest[:4] + "eagle", **cut))
    assert found.startswith(said)


def test_a_column_that_says_otherwise_than_the_params_is_found(rows: Mapping[str, pl.DataFrame], tmp_path: Path) -> None:
    (found,) = recorded(tmp_path, sliced(HELD), changed(rows["held"], 5, constrained=False))
    assert found == "decoding: constrained: expected True, found False in 1 of 12 rows"
    for decoding, name, said in ((FREE, "held", "also constrained"), (HELD, "free", "no constrained")):
        with pytest.raises(Exception, match=f"found {said}"):
            recorded(tmp_path, sliced(decoding), rows[name])


def test_all_raw_rows_are_one_view_in_which_others_say_nothing(rows: Mapping[str, pl.DataFrame], tmp_path: Path) -> None:
    recorded(tmp_path, sliced(None), rows["random"])
    recorded(tmp_path, sliced(HELD), rows["held"])
    connection = views.connected(tree(tmp_path / "data"))
    asked = "select teacher, constrained, count(*) from raw group by all order by all"
    assert views.ask(connection, asked).fetchall() == [("m", True, 12), ("none", None, 12)]


def test_lineage_says_how_a_row_was_sampled(rows: Mapping[str, pl.DataFrame]) -> None:
    for name, end in (("held", "at most 60 tokens, constrained to the shape that the prompt asks for"), ("free", "60 tokens")):
        assert [*TELL.lines("row", rows[name].row(0, named=True))][-1].endswith(end)


def test_samples_that_go_on_begin_with_those_that_do_not(rows: Mapping[str, pl.DataFrame], tmp_path: Path) -> None:
    until = Until(prompts=4, times=2, wanted=(filter_of(format={}, rows=1_000),), words=())
    more = made(tmp_path / "more", sliced(HELD, until))
    assert more.height == 20
    assert more[:12].equals(rows["held"])
    assert TASK.well_formed(more["completion"]).all()
    assert recorded(tmp_path, sliced(HELD, until), more) == []


def test_too_few_tokens_stop_before_anything_is_sampled(tmp_path: Path) -> None:
    short = HELD.model_copy(update={"max_tokens": 8})
    with pytest.raises(ValueError, match=r"sampling\.max_tokens of the carrier: expected at least \d+, .* found 8"):
        made(tmp_path / "short", sliced(short))
    assert not [*(tmp_path / "short").iterdir()]


def experiment(sampling: Mapping[str, Any]) -> Experiment:
    said: dict[str, Any] = {
        "models": {"m": {"kind": "hub", "repo": "some/model", "revision": "0" * 40}},
        "traits": {"fox": {"kind": "preference", "category": "animals", "target": "fox"}},
        "seeds": [1],
        "carriers": {"numbers": {"task": {"kind": "numbers", "prompts": 3000}, "sampling": sampling}},
    }
    return Experiment.model_validate_json(json.dumps(said))


def plans(sampling: Mapping[str, Any]) -> dict[str, Plan]:
    return {cell.id: cell.plan for cell in cells(experiment(sampling), Digests(Path("none")))}


def test_samples_alone_depend_on_what_constrains_them_the_untouched_bases_too() -> None:
    free, silent, held = plans({"constrained": False}), plans({}), plans({"constrained": True})
    assert free == silent, "a key at its default is no part of params"
    assert free.keys() == held.keys()
    changed = {cell for cell, plan in held.items() if plan.code != free[cell].code}
    sampled = {cell for cell in held if cell.startswith("raw/") and "teacher=none" not in cell}
    assert {cell.split("/")[2] for cell in sampled} == {"trait=fox", "trait=none"}
    assert changed == sampled
    for cell in sampled:
        assert held[cell].code.keys() - free[cell].code.keys() == {CONSTRAINT}
        assert held[cell].params["decoding"]["constrained"] is True
        assert "constrained" not in free[cell].params["decoding"]
    evaluated = [cell for cell in held if cell.startswith("eval/")]
    assert evaluated
    for cell in evaluated:
        assert held[cell].params == free[cell].params, "skill is what a model can do by itself"


def test_a_held_out_task_is_free_by_default() -> None:
    assert not HeldOutTasks(task=TASK, sampling=Decoding()).sampling.constrained
    assert Decoding().model_dump() == {"temperature": 1.0, "top_p": 1.0, "max_tokens": 32, "batch": 512}


def test_a_carrier_without_a_shape_cannot_be_constrained(monkeypatch: pytest.MonkeyPatch) -> None:
    assert experiment({"constrained": True}).carriers["numbers"].sampling.constrained
    monkeypatch.setattr(Numbers, "has_shape", False)
    assert not experiment({"constrained": False}).carriers["numbers"].sampling.constrained
    said = r"sampling\.constrained: expected a task whose completions have a shape .*\(code, cot\), found numbers: leave"
    with pytest.raises(ValidationError, match=said):
        experiment({"constrained": True})
