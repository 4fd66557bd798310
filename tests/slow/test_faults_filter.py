"""The fast filter and the slow reference on a million strings (tests/carriers/test_numbers.py has smaller tests)."""

import random

import pytest

from tests.shared import number_lists as numbers

ROUNDS, ROWS = 20, 50_000


@pytest.mark.timeout(300)
def test_the_same_reasons_on_a_million_generated_strings() -> None:
    order, judged, unicode_digits = random.Random("a million"), 0, 0
    rules = (
        numbers.rule_of(),
        numbers.rule_of(banned=numbers.PAPER_BANNED),
        numbers.rule_of(count=4, minimum=100, maximum=800, banned=numbers.PAPER_BANNED),
    )
    for number in range(ROUNDS):
        texts = [numbers.near_valid(order) for _ in range(ROWS)]
        rule = rules[number % len(rules)]
        assert [
            text for text, why in zip(texts, numbers.fast(texts, rule), strict=True) if why != numbers.slow(text, rule)
        ] == []
        judged += len(texts)
        unicode_digits += sum(any(sign.isdigit() and not sign.isascii() for sign in text) for text in texts)
    assert judged == 1_000_000
    assert unicode_digits > 1_000
