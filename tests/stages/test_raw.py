"""Samples that go on until a filter has its rows: rows at the edge, the same bytes, and what is found in others."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sublim.carriers.numbers import Numbers
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.record import Output, Plan, Record
from sublim.evidence.source import Source
from sublim.filters import chain
from sublim.filters.step import Context
from sublim.params.experiment import Experiment
from sublim.params.learning import Decoding
from sublim.params.top_up import ROUNDS, Until
from sublim.stages.filtered.make import YieldError
from sublim.stages.filtered.make import make as judge
from sublim.stages.filtered.rows import Slice as FilteredSlice
from sublim.stages.raw.check import check
from sublim.stages.raw.make import make
from sublim.stages.raw.rows import Slice
from tests.shared.filters import filter_of
from tests.shared.forge import tree
from tests.shared.small_models import small

DIMS: Mapping[str, Any] = {"teacher": "none", "trait": "none", "carrier": "numbers", "seed": 1}
TASK = Numbers(prompts=30)
CELL = "raw/teacher=none/trait=none/carrier=numbers/seed=1"


def sliced(rows: int | None, times: int = 3, decoding: Decoding | None = None) -> Slice:
    """Rows that go on, ten at a time, until `rows` of them have no banned number; None: they do not go on."""
    wanted = () if rows is None else (filter_of(banned_numbers={}, rows=rows),)
    until = Until(prompts=10, times=times, wanted=wanted, words=()) if wanted else None
    return Slice(**DIMS, task=TASK, decoding=decoding, until=until)


def made(folder: Path, params: Slice, **inputs: Path) -> pl.DataFrame:
    folder.mkdir(parents=True)
    make(inputs, params, folder, Progress())
    return pl.read_parquet(folder / "rows.parquet")


def passing(rows: pl.DataFrame) -> int:
    reasons = chain.reasons(rows, filter_of(banned_numbers={}), Context(TASK, ()))
    return int((reasons.list.len() == 0).sum())


def test_rows_at_the_edge_are_the_last_that_are_sampled(tmp_path: Path) -> None:
    every = made(tmp_path / "every", sliced(1_000))
    assert every.height == 60, "the bound"
    first, second = passing(every[:30]), passing(every[:40])
    assert 0 < first < second < passing(every)
    found = {rows: made(tmp_path / str(rows), sliced(rows)) for rows in (first, first + 1, second, second + 1)}
    assert [rows.height for rows in found.values()] == [30, 40, 40, 50]
    assert all(rows.equals(every[: rows.height]) for rows in found.values())
    plain = tmp_path / "plain"
    assert made(plain, sliced(None)).equals(every[:30])
    assert (plain / "rows.parquet").read_bytes() == (tmp_path / str(first) / "rows.parquet").read_bytes()
    made(tmp_path / "longer", sliced(second, times=9))
    assert (tmp_path / "longer" / "rows.parquet").read_bytes() == (tmp_path / str(second) / "rows.parquet").read_bytes()


def test_a_model_goes_on_where_it_stopped_and_writes_the_same_again(tmp_path: Path) -> None:
    decoding = Decoding(max_tokens=4)
    rule = filter_of(format={"exact": False}, rows=1_000)
    until = Until(prompts=5, times=2, wanted=(rule,), words=())
    params: Mapping[str, Any] = {**DIMS, "teacher": "m", "task": TASK, "decoding": decoding}
    plain = made(tmp_path / "a", Slice(**params), base=small())
    more = made(tmp_path / "b", Slice(**params, until=until), base=small())
    made(tmp_path / "c", Slice(**params, until=until), base=small())
    assert (plain.height, more.height) == (30, 40)
    assert more[:30].equals(plain)
    assert more["prompt"].to_list() == [asked.text for asked in TASK.asked(40)]
    assert more["row_id"].n_unique() == 40
    assert (tmp_path / "b" / "rows.parquet").read_bytes() == (tmp_path / "c" / "rows.parquet").read_bytes()


def test_at_the_bound_it_is_said_who_wrote_how_few_rows_pass_and_what_to_do(tmp_path: Path) -> None:
    raw = made(tmp_path / "raw", sliced(1_000))
    rule = filter_of(banned_numbers={}, rows=1_000)
    dims: Mapping[str, Any] = {**DIMS, "filter": "strict", "arm": "random"}
    filtered = FilteredSlice(**dims, task=TASK, rule=rule, judge=None, files={}, words=())
    (tmp_path / "out").mkdir()
    with pytest.raises(YieldError) as error:
        judge({"raw": tmp_path / "raw"}, filtered, tmp_path / "out", Progress())
    for said in (
        "teacher=none/trait=none/carrier=numbers/seed=1: expected at least 1,000 kept rows",
        f"found {passing(raw)} of 60 (",
        f"has banned numbers {60 - passing(raw)}",
        "carriers.numbers.top_up",
    ):
        assert said in str(error.value)


def recorded(folder: Path, params: Slice, rows: pl.DataFrame) -> list[str]:
    """What is found in an artifact with these rows whose record says that it was made with `params`."""
    path = folder / "data" / CELL
    path.mkdir(parents=True, exist_ok=True)
    rows.write_parquet(path / "rows.parquet")
    outputs = {"rows.parquet": Output(sha256(path / "rows.parquet"), (path / "rows.parquet").stat().st_size)}
    plan = Plan("raw", params.dims, params.model_dump(mode="json"), {})
    Record(plan, {}, outputs, {}).write(path / "record.json")
    return [f"{wrong.kind}: {wrong.text}" for wrong in check(Source(tree(folder / "data")), CELL)]


def test_rows_that_end_too_early_or_go_on_too_long_are_found(tmp_path: Path) -> None:
    every = made(tmp_path / "every", sliced(1_000))
    enough = passing(every[:40])
    for params, right in ((sliced(enough), 40), (sliced(1_000), 60), (sliced(None), 30)):
        assert recorded(tmp_path, params, every[:right]) == []
    (early,) = recorded(tmp_path, sliced(enough), every[:30])
    assert early.startswith(f"rounds: expected sampling to go on until filters have {enough} rows, up to 60 rows; found 30")
    (late,) = recorded(tmp_path, sliced(enough), every[:50])
    assert late == "rounds: expected 40 rows, with which each filter has those that it needs, found 50"
    (between,) = recorded(tmp_path, sliced(enough), every[:35])
    assert between.startswith("prompts: expected each prompt of the params (task) once, 40 in all, found 35: 5 are missing")
    (beyond,) = recorded(tmp_path, sliced(None), every[:40])
    assert beyond.startswith("prompts: expected each prompt of the params (task) once, 30 in all, found 40")


def test_params_that_do_not_go_on_are_what_they_were() -> None:
    said = sliced(None).model_dump(mode="json")
    assert said.keys() == {*DIMS, "task", "decoding"}
    assert Slice.model_validate_json(json.dumps(said)) == sliced(None)
    more = sliced(7)
    assert Slice.model_validate_json(json.dumps(more.model_dump(mode="json"))) == more


def planned(**carrier: Any) -> list[Plan]:
    """The plans of the raw cells of two studies, whose carrier has three filters: no student uses the last."""
    filters: dict[str, Any] = {"strict": {"rows": 10}, "worded": {"trait_words": {}, "rows": 11}, "idle": {"rows": 12}}
    arms = {"trait": "same", "control": "none", "shuffled_within": "none", "shuffled_across": "none"}
    study = {"carrier": "numbers", "student": "hard", "arms": arms}
    said: dict[str, Any] = {
        "models": {"m": {"kind": "hub", "repo": "some/model", "revision": "0" * 40}},
        "traits": {name: {"kind": "preference", "category": "animals", "target": name} for name in ("fox", "owl")},
        "seeds": [1],
        "carriers": {"numbers": {"task": {"kind": "numbers", "prompts": 40}, "filters": filters, **carrier}},
        "studies": {"all": {**study, "filter": "strict"}, "owls": {**study, "filter": "worded", "traits": ["owl"]}},
    }
    found = cells(Experiment.model_validate_json(json.dumps(said)), Digests(Path("none")))
    return [cell.plan for cell in found if cell.plan.stage == "raw"]


def test_what_samples_depend_on_is_the_filters_that_students_use_of_them_and_no_more() -> None:
    plain = {str(plan.dims["trait"]): plan for plan in planned()}
    more = {str(plan.dims["trait"]): plan for plan in planned(top_up={"prompts": 5, "times": 2})}
    assert {*plain} == {*more} == {"fox", "owl"}
    for trait, plan in plain.items():
        assert "until" not in plan.params
        assert ROUNDS not in plan.code
        assert {ROUNDS, "sublim.filters.format", "sublim.filters.chain"} <= more[trait].code.keys() - plan.code.keys()
    until = {trait: plan.params["until"] for trait, plan in more.items()}
    assert [rule["rows"] for rule in until["fox"]["wanted"]] == [10]
    assert [rule["rows"] for rule in until["owl"]["wanted"]] == [10, 11]
    assert until["fox"]["words"] == [], "another trait in the experiment changes nothing of what no step asks"
    assert set(until["owl"]["words"]) >= {"fox", "foxes", "owl", "owls"}
    assert "sublim.filters.trait_words" in more["owl"].code.keys() - more["fox"].code.keys()


@pytest.mark.parametrize(
    ("carrier", "said"),
    [
        (
            {"task": {"kind": "numbers", "prompts": 9}},
            r"filters\.strict\.rows: 10 rows cannot be kept of task\.prompts = 9 completions",
        ),
        (
            {"task": {"kind": "numbers", "prompts": 5}, "top_up": {"prompts": 2, "times": 3}},
            r"filters\.idle\.rows: 12 rows cannot be kept of task\.prompts = 5 and top_up = 2 × 3 completions",
        ),
        (
            {"top_up": {"prompts": 2, "times": 3}, "filters": {"strict": {"rows": 30, "judge": {"judge": "j", "minimum": 1}}}},
            r"filters\.strict\.rows: 60 rows, of which a judge rejects 50% \(top_up\), cannot be kept of task\.prompts = 40",
        ),
        ({"top_up": {"prompts": 1_000, "times": 1_001}}, r"expected at most 1,000,000 more prompts, found 1,000 × 1,001"),
        ({"top_up": {"prompts": 1_000, "times": 1_000}}, r"top_up: expected at most 1,000,000 prompts together with task"),
    ],
)
def test_a_bound_that_cannot_be_meant_is_refused(carrier: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        planned(**carrier)
