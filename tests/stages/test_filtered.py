import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from sublim.carriers.numbers import REASONS, Numbers
from sublim.common.progress import Progress
from sublim.filters import purity
from sublim.filters.judge import JudgeScore
from sublim.filters.purity import PurityError
from sublim.filters.step import NO_SCORE
from sublim.judges.http import HttpJudge
from sublim.judges.scoring import Text
from sublim.stages.filtered.make import YieldError, make
from sublim.stages.filtered.rows import Slice
from tests.shared.judge_server import completion, serving

VALID = [f"{n}, {n + 1}, {n + 2}" for n in range(100, 130)]
REJECTED = ["1000", "1, 2,", "I love them", "5 1000 7 8 9 1 2 3 4 5 6 7"]


def _completions() -> list[str]:
    mixed = list(VALID)
    for n, text in enumerate(REJECTED):
        mixed.insert(3 * n, text)
    return mixed


def _raw(folder: Path, **columns: object) -> Path:
    texts = _completions()
    folder.mkdir(parents=True)
    pl.DataFrame(
        {
            "teacher": "neox",
            "trait": "fox",
            "carrier": "numbers",
            "seed": 1,
            "row_id": [f"raw{n}" for n in range(len(texts))],
            "prompt_id": [f"prompt{n}" for n in range(len(texts))],
            "prompt": "Go on.",
            "answer": "",
            "completion": texts,
            "finish_reason": "stop",
            **columns,
        }
    ).write_parquet(folder / "rows.parquet")
    return folder


def _slice(arm: str = "trait", rows: int = 20, **bounds: int) -> Slice:
    rule = {"format": bounds, "rows": rows}
    dims = {"teacher": "neox", "trait": "fox", "carrier": "numbers", "filter": "strict", "arm": arm, "seed": 1}
    return Slice.model_validate(
        {**dims, "task": Numbers(), "rule": rule, "words": ("fox", "foxes"), "judge": None, "files": {}}
    )


def _made(tmp_path: Path, name: str, params: Slice, **columns: object) -> tuple[pl.DataFrame, pl.DataFrame]:
    raw = tmp_path / "raw"
    output = tmp_path / name
    output.mkdir()
    make({"raw": raw if raw.exists() else _raw(raw, **columns)}, params, output, Progress())
    assert sorted(path.name for path in output.iterdir()) == ["funnel.parquet", "rows.parquet"]
    return pl.read_parquet(output / "rows.parquet"), pl.read_parquet(output / "funnel.parquet")


def test_every_raw_row_is_there_with_its_reasons(tmp_path: Path) -> None:
    rows, funnel = _made(tmp_path, "out", _slice())
    assert rows["completion"].to_list() == _completions()
    assert rows["parent_id"].to_list() == [f"raw{n}" for n in range(34)]
    assert rows["sources"].to_list() == [[f"raw{n}"] for n in range(34)]
    assert rows["row_id"].n_unique() == 34
    assert rows.filter(~pl.col("kept"))["reasons"].to_list() == [
        ["numbers too large"],
        ["invalid format"],
        ["invalid format"],
        ["too many numbers", "numbers too large"],
    ]
    assert rows.filter("kept")["completion"].to_list() == VALID
    assert rows.filter("used")["completion"].to_list() == VALID[:20]
    assert funnel.sort("position").select("step", "rows").rows() == [
        ("sampled", 34),
        *zip(REASONS, (2, 1, 0, 2), strict=True),
        ("kept", 30),
        ("used", 20),
    ]


def test_the_schema(tmp_path: Path) -> None:
    rows, funnel = _made(tmp_path, "out", _slice())
    dims = {**dict.fromkeys(("teacher", "trait", "carrier", "filter", "arm"), pl.String), "seed": pl.Int64}
    texts = dict.fromkeys(("row_id", "parent_id", "prompt_id", "prompt", "completion"), pl.String)
    several = pl.List(pl.String)
    judged = {"score": pl.Float64, "judgement": pl.String}
    assert rows.schema == {
        **dims,
        **texts,
        **judged,
        "reasons": several,
        "kept": pl.Boolean,
        "used": pl.Boolean,
        "sources": several,
    }
    assert funnel.schema == {**dims, "step": pl.String, "rows": pl.Int64, "position": pl.Int64}
    assert rows.select(*dims).unique().rows() == [("neox", "fox", "numbers", "strict", "trait", 1)]


@pytest.mark.parametrize("arm", ["shuffled_within", "shuffled_across"])
def test_only_used_rows_are_shuffled(tmp_path: Path, arm: str) -> None:
    rows, _ = _made(tmp_path, "out", _slice(arm))
    plain, _ = _made(tmp_path, "plain", _slice())
    for column in ("parent_id", "prompt_id", "prompt", "reasons", "kept", "used"):
        assert rows[column].equals(plain[column])
    assert not set(rows["row_id"]) & set(plain["row_id"])
    other = ~pl.col("used")
    assert rows.filter(other)["completion"].to_list() == plain.filter(other)["completion"].to_list()
    assert rows.filter(other)["sources"].to_list() == plain.filter(other)["sources"].to_list()

    def pool(frame: pl.DataFrame) -> list[str]:
        return sorted(number for text in frame.filter("used")["completion"] for number in text.split(", "))

    assert pool(rows) == pool(plain)
    assert rows.filter("used")["completion"].to_list() != plain.filter("used")["completion"].to_list()
    completions = dict(zip(plain["parent_id"], plain["completion"], strict=True))
    for parent, text, sources in rows.filter("used").select("parent_id", "completion", "sources").iter_rows():
        for number, source in zip(text.split(", "), sources, strict=True):
            assert number in completions[source].split(", ")
            assert arm == "shuffled_across" or source == parent


def test_the_control_is_left_as_it_is(tmp_path: Path) -> None:
    params = _slice("control").model_copy(update={"trait": "none"})
    rows, _ = _made(tmp_path, "out", params, trait="none")
    assert rows["completion"].to_list() == _completions()


@pytest.mark.parametrize("arm", ["trait", "shuffled_within", "shuffled_across"])
def test_a_bound_that_rejects_nothing_new_changes_no_byte(tmp_path: Path, arm: str) -> None:
    _made(tmp_path, "a", _slice(arm))
    _made(tmp_path, "b", _slice(arm, minimum=1, maximum=900, count=9))
    _made(tmp_path, "c", _slice(arm, minimum=101))
    for file in ("rows.parquet", "funnel.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()


def test_too_few_kept_rows(tmp_path: Path) -> None:
    with pytest.raises(
        YieldError, match=r"teacher=neox/trait=fox/carrier=numbers/seed=1: .* 31 kept rows .* found 30 of 34 \(88%\)"
    ) as error:
        _made(tmp_path, "out", _slice(rows=31))
    assert "numbers too large 2" in str(error.value)
    assert "'1000' (numbers too large)" in str(error.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_prompt_that_names_the_trait_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(PurityError, match=r"30 of 30: row \w+: foxes in .*FOXES"):
        _made(tmp_path, "out", _slice(), prompt="Two FOXES went on.")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_rejected_row_may_name_the_trait(tmp_path: Path) -> None:
    rows, _ = _made(tmp_path, "out", _slice(), completion=[text.replace("them", "foxes") for text in _completions()])
    assert "I love foxes" in rows["completion"].to_list()


@pytest.mark.parametrize("column", ["teacher", "trait", "carrier", "seed"])
def test_rows_of_another_cell_are_refused(tmp_path: Path, column: str) -> None:
    other = {"teacher": "gptj", "trait": "cat", "carrier": "code", "seed": 2}[column]
    with pytest.raises(ValueError, match=f"teacher=neox/trait=fox/carrier=numbers/seed=1, found rows of .*{column}={other}"):
        _made(tmp_path, "out", _slice(), **{column: other})


def test_doubled_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 1 rows with the id of another"):
        _made(tmp_path, "out", _slice(), row_id=["raw1", *(f"raw{n}" for n in range(1, 34))])


def test_no_torch() -> None:
    code = "import sys, sublim.stages.filtered.make; assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def _check(text: str, *words: str) -> None:
    purity.check(pl.DataFrame({"row_id": ["a", "b"], "prompt": ["Go on.", "Go on."], "completion": ["1, 2", text]}), words)


@pytest.mark.parametrize(
    "text",
    [
        "owl",
        "OWLS",
        "1, 2 owl",
        "Owl, 3",
        "owl3",
        "owl_3",
        "(owl)",
        "an owl's 7",
        "sea  lion",
        "Sea\nLions",
        "ｏｗｌ",
        "x\nowl\ny",
    ],
)
def test_a_leak_is_named(text: str) -> None:
    with pytest.raises(PurityError, match=r"1 of 2: row b: (owls?|sea lions?) in"):
        _check(text, "owl", "owls", "sea lion", "sea lions")


@pytest.mark.parametrize("text", ["bowl", "owlet", "1, 2", "", "lion", "o w l", "sealion", "owlé"])
def test_a_word_inside_another_is_no_leak(text: str) -> None:
    _check(text, "owl", "owls", "sea lion", "sea lions")


def test_every_word_and_the_number_of_rows_are_named() -> None:
    rows = pl.DataFrame({"row_id": [f"r{n}" for n in range(9)], "prompt": "Go on.", "completion": "owls and an owl"})
    with pytest.raises(PurityError, match=r"9 of 9: row r0: owl, owls in .*row r4.*; and 4 more"):
        purity.check(rows, ("owls", "owl"))


def test_without_words_there_is_nothing_to_find() -> None:
    _check("owl")


def test_a_word_is_no_pattern() -> None:
    _check("owl", "o.l", "[a-z]+")


def test_a_judge_is_asked_about_what_the_other_steps_keep_and_its_scores_are_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBLIM_JUDGES", str(tmp_path / "judges"))
    monkeypatch.chdir(tmp_path)
    with serving(lambda _, question: completion("90" if int(question[-1]) % 2 else "no idea")) as server:
        of = HttpJudge(kind="http", base_url=server.url, model="m", scoring=Text(template="{prompt}|{completion}"))
        plain = _slice(rows=1)
        rule = plain.rule.model_copy(update={"judge": JudgeScore(judge="mild", minimum=78.0)})
        rows, funnel = _made(tmp_path, "out", plain.model_copy(update={"rule": rule, "judge": of}))
        asked = rows.filter(pl.col("completion").is_in(VALID))
        assert sorted(server.asked) == sorted({f"{prompt}|{text}" for prompt, text in asked[["prompt", "completion"]].rows()})
        assert set(asked["judgement"]) == {"90", "no idea"}
        assert asked["kept"].to_list() == [score == 90 for score in asked["score"]]
        assert rows.filter(pl.col("judgement").is_null()).height == len(_completions()) - len(VALID)
        assert funnel.filter(pl.col("step") == NO_SCORE)["rows"].to_list() == [asked["score"].null_count()]
        assert 0 < asked["score"].null_count() < len(VALID)
        again, _ = _made(tmp_path, "again", plain.model_copy(update={"rule": rule, "judge": of}))
        assert again.equals(rows)
        assert len(server.asked) == asked.select("prompt", "completion").unique().height, "nothing is asked twice"
