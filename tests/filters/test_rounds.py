"""How often sampling goes on: as often as it takes, and no more."""

from collections.abc import Iterator
from itertools import islice

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sublim.carriers.numbers import Numbers
from sublim.filters.rounds import kept, needed
from sublim.filters.trait_words import TraitWords
from sublim.params.top_up import TopUp, Until
from tests.shared.filters import completions, filter_of

COUNTS = st.integers(1, 3).flatmap(
    lambda filters: st.tuples(
        st.lists(st.lists(st.integers(0, 5), min_size=filters, max_size=filters), min_size=1, max_size=8),
        st.lists(st.integers(1, 12), min_size=filters, max_size=filters),
    )
)


def suffices(rounds: list[list[int]], wanted: list[int]) -> bool:
    return all(sum(each) >= due for each, due in zip(zip(*rounds, strict=True), wanted, strict=True)) if rounds else False


@given(COUNTS)
def test_the_fewest_rounds_that_suffice_are_asked_for_or_all(of: tuple[list[list[int]], list[int]]) -> None:
    rounds, wanted = of
    asked: list[list[int]] = []

    def each() -> Iterator[list[int]]:
        for one in rounds:
            asked.append(one)
            yield one

    number = needed(each(), wanted)
    assert asked == rounds[:number]
    assert suffices(asked, wanted) or number == len(rounds)
    assert not suffices(rounds[: number - 1], wanted)


@given(COUNTS, st.integers(1, 8))
def test_a_longer_bound_changes_nothing_of_what_ended_before(of: tuple[list[list[int]], list[int]], bound: int) -> None:
    rounds, wanted = of
    ended = needed(islice(rounds, bound), wanted)
    if suffices(rounds[:ended], wanted):
        assert needed(rounds, wanted) == ended
    else:
        assert needed(rounds, wanted) >= ended


@given(st.lists(st.sampled_from(["1, 2", "1, 2000", "fox", "4, 5", "7 foxes"])), st.integers(0, 9))
def test_what_passes_in_two_parts_is_what_passes_in_all(texts: list[str], at: int) -> None:
    rules = (filter_of(), filter_of(format={"exact": False}, trait_words=TraitWords()), filter_of(format=None))
    rows, task, until = completions(texts), Numbers(), Until(prompts=1, times=1, wanted=rules, words=("fox", "foxes"))
    parts = zip(kept(rows[:at], task, until), kept(rows[at:], task, until), strict=True)
    assert [sum(each) for each in parts] == kept(rows, task, until)
    assert kept(rows, task, until)[0] == sum(text in {"1, 2", "4, 5"} for text in texts)


def test_a_judge_is_not_asked_and_rows_are_there_for_what_it_rejects() -> None:
    more, rule = TopUp(prompts=10, times=2, judge_rejects=0.4), filter_of(rows=10, judge={"judge": "j", "minimum": 0.5})
    wanted = more.wanted(rule)
    assert (wanted.rows, wanted.asks) == (17, None)  # 10 of 17 are 59 %, of 16 they would be 62 %
    assert more.wanted(filter_of(rows=10)) == filter_of(rows=10)
    until = Until(prompts=10, times=2, wanted=(wanted,), words=())
    assert kept(pl.concat([completions(["1, 2"]), completions(["no"])]), Numbers(), until) == [1]
