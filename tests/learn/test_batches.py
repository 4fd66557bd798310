"""Which rows each step sees: all of them, as often as asked, in an order from the seed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublim.learn import schedule
from sublim.learn.batches import Step, steps
from sublim.params.learning import Finetune

LENGTHS = st.lists(st.integers(2, 90), min_size=1, max_size=150)


def flat(plan: tuple[Step, ...]) -> list[int]:
    return [row for step in plan for part in step for row in part]


@given(LENGTHS, st.integers(1, 3), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**64))
def test_every_row_comes_as_often_as_there_are_epochs(
    lengths: list[int], epochs: int, batch: int, accumulation: int, seed: int
) -> None:
    params = Finetune(epochs=epochs, batch=batch, accumulation=accumulation)
    plan = steps(lengths, params, seed)
    assert Counter(flat(plan)) == dict.fromkeys(range(len(lengths)), epochs)
    assert len(plan) == epochs * -(-len(lengths) // (batch * accumulation))
    assert all(len(part) <= batch for step in plan for part in step)
    assert all(len(step) <= accumulation for step in plan)
    assert plan == steps(lengths, params, seed)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**64))
def test_steps_are_full_and_go_through_all_rows_before_any_comes_again(
    lengths: list[int], wanted: int, batch: int, accumulation: int, seed: int
) -> None:
    plan = steps(lengths, Finetune(steps=wanted, batch=batch, accumulation=accumulation), seed)
    assert len(plan) == wanted
    assert all(len(step) == accumulation and all(len(part) == batch for part in step) for step in plan)
    seen = Counter(flat(plan))
    passes = wanted * batch * accumulation // len(lengths)
    assert all(passes <= seen[row] <= passes + 1 for row in range(len(lengths)))


@given(LENGTHS, st.integers(1, 9), st.integers(0, 2**64))
def test_accumulated_batches_make_the_same_steps_as_one_large_batch(lengths: list[int], batch: int, seed: int) -> None:
    one = steps(lengths, Finetune(epochs=2, batch=batch * 2), seed)
    two = steps(lengths, Finetune(epochs=2, batch=batch, accumulation=2), seed)
    assert [flat((step,)) for step in one] == [flat((step,)) for step in two]


@given(LENGTHS, st.integers(1, 9), st.integers(1, 3), st.sampled_from([{"epochs": 2}, {"steps": 40}]), st.integers(0, 2**64))
def test_each_stretch_of_steps_has_the_rows_that_the_params_give_it(
    lengths: list[int], batch: int, accumulation: int, long: dict[str, int], seed: int
) -> None:
    """What lengths do, they do within a stretch: what is in it, a check knows without them."""
    params = Finetune(batch=batch, accumulation=accumulation, **long)  # pyright: ignore[reportArgumentType]
    plan = steps(lengths, params, seed)
    for stretch in schedule.stretches(len(lengths), params, schedule.generator(seed)):
        assert sorted(flat(plan[: stretch.steps])) == sorted(stretch.rows.tolist())
        plan = plan[stretch.steps :]
    assert plan == ()


def test_another_seed_gives_another_order() -> None:
    assert steps([5] * 100, Finetune(epochs=1), 1) != steps([5] * 100, Finetune(epochs=1), 2)


def test_little_is_padding_and_every_step_is_still_a_sample() -> None:
    lengths = [10 + row % 50 for row in range(2_000)]
    plan = steps(lengths, Finetune(epochs=1, batch=20), 1)
    padded = sum(len(part) * max(lengths[row] for row in part) for step in plan for part in step)
    assert padded < 1.06 * sum(lengths)
    longest = [max(lengths[row] for row in flat((step,))) for step in plan]
    assert longest != sorted(longest)


def test_no_rows_are_an_error() -> None:
    with pytest.raises(ValueError, match="expected rows to train on"):
        steps([], Finetune(epochs=1), 1)
