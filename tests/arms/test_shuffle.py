import re
from collections import Counter

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sublim.arms.shuffle import shuffled_across, shuffled_within
from sublim.carriers.numbers import reasons
from sublim.filters.format import Format

Rows = list[tuple[str, str]]


def _completion(numbers: list[str], separator: str, wrapping: str) -> str:
    return wrapping.format(separator.join(numbers))


completions = st.builds(
    _completion,
    st.lists(st.integers(0, 999).map(str) | st.sampled_from(["007", "00", "042"]), min_size=1, max_size=10),
    st.sampled_from([", ", ",", "; ", " ", "\n", "  ", "\u00a0", " , "]),
    st.sampled_from(["{}", "{}", "[{}]", "({})", "{}.", "[{}]."]),
)
rows_of_numbers = st.lists(completions, max_size=12).map(lambda texts: [(f"row{n}", text) for n, text in enumerate(texts)])


def _numbers(text: str) -> list[str]:
    return re.findall("[0-9]+", text)


def _form(text: str) -> list[str]:
    return re.split("[0-9]+", text)


def _valid(texts: list[str]) -> bool:
    return all(not why for why in reasons(pl.Series(texts, dtype=pl.String), Format()).to_list())


@given(rows_of_numbers, st.text())
def test_within_permutes_each_row_and_keeps_its_form(rows: Rows, seed: str) -> None:
    shuffled = shuffled_within(rows, seed)
    assert len(shuffled) == len(rows)
    for (row, before), after in zip(rows, shuffled, strict=True):
        assert Counter(_numbers(after.completion)) == Counter(_numbers(before))
        assert _form(after.completion) == _form(before)
        assert after.sources == (row,) * len(_numbers(before))
    assert _valid([row.completion for row in shuffled])


@given(rows_of_numbers, st.text())
def test_across_keeps_the_pool_and_the_form_of_each_row(rows: Rows, seed: str) -> None:
    shuffled = shuffled_across(rows, seed)
    assert Counter(n for row in shuffled for n in _numbers(row.completion)) == Counter(
        n for _, text in rows for n in _numbers(text)
    )
    assert [_form(row.completion) for row in shuffled] == [_form(text) for _, text in rows]
    assert _valid([row.completion for row in shuffled])


@given(rows_of_numbers, st.text())
def test_across_says_where_each_number_came_from(rows: Rows, seed: str) -> None:
    moved = Counter(
        (source, number)
        for row in shuffled_across(rows, seed)
        for source, number in zip(row.sources, _numbers(row.completion), strict=True)
    )
    assert moved == Counter((row, number) for row, text in rows for number in _numbers(text))


@given(rows_of_numbers, st.text())
def test_the_same_seed_gives_the_same_shuffle(rows: Rows, seed: str) -> None:
    assert shuffled_within(rows, seed) == shuffled_within(rows, seed)
    assert shuffled_across(rows, seed) == shuffled_across(rows, seed)


@given(rows_of_numbers)
def test_within_treats_a_row_alone(rows: Rows) -> None:
    alone = [shuffled for row in reversed(rows) for shuffled in shuffled_within([row], "seed")]
    assert shuffled_within(rows, "seed") == alone[::-1]


def _many(n: int) -> Rows:
    return [(f"{n:032x}", ", ".join(str((n * 7 + k * 13) % 1000) for k in range(10))) for n in range(n)]


def test_another_seed_gives_another_shuffle() -> None:
    rows = _many(50)
    assert shuffled_within(rows, "a") != shuffled_within(rows, "b")
    assert shuffled_across(rows, "a") != shuffled_across(rows, "b")


def test_order_is_lost() -> None:
    rows = _many(3_000)
    within = [row.completion for row in shuffled_within(rows, "a")]
    assert sum(after == before for after, (_, before) in zip(within, rows, strict=True)) <= 1
    # Each number of a row should be equally likely to come first: 300 of 3,000, standard deviation 16.
    first = Counter(_numbers(before).index(_numbers(after)[0]) for after, (_, before) in zip(within, rows, strict=True))
    assert all(220 < first[place] < 380 for place in range(10))
    at_home = sum(
        source == row for (row, _), after in zip(rows, shuffled_across(rows, "a"), strict=True) for source in after.sources
    )
    assert at_home < 50
