import json
import os
import re
import subprocess
import sys

import polars as pl
import pytest
from pydantic import ValidationError

from sublim.carriers.numbers import Numbers, reasons
from sublim.carriers.prompts import BREVITIES, COUNTS, DIGITS, FORMATS, INSTRUCTIONS, INTROS, prompts
from sublim.common.canonical import row_id
from sublim.filters.format import Format
from sublim.traits.categories import CATEGORIES

OTHER_NAMES = """
red orange yellow green blue indigo purple pink brown black white grey gray gold silver tan teal cyan
ant bat bee bird bull cow crane crow deer dog dove duck fish fly goat hare hen hawk seal sheep swan
alder box elder ebony holly olive palm plane poplar rowan teak walnut yew leaf leaves wood
"""


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [prompt.text for prompt in prompts(20_000, Numbers())]


def _templates() -> list[str]:
    return [*INTROS, *INSTRUCTIONS, *COUNTS, *DIGITS, *(form.request for form in FORMATS), *BREVITIES]


def test_twenty_thousand_distinct_prompts(texts: list[str]) -> None:
    assert len(set(texts)) == 20_000


def test_the_grammar_has_as_many_forms_as_the_papers() -> None:
    counts = [
        len(set(forms)) for forms in (INTROS, INSTRUCTIONS, COUNTS, DIGITS, [form.request for form in FORMATS], BREVITIES)
    ]
    assert counts == [25, 10, 9, 9, 15, 19]


def test_every_form_is_used(texts: list[str]) -> None:
    together = "\n".join(texts)
    for template in _templates():
        assert all(fixed in together for fixed in re.split(r"\{\w+\}", template))


def test_a_prompt_shows_three_to_eight_numbers_of_three_digits(texts: list[str]) -> None:
    counts: set[int] = set()
    for text in texts:
        run = re.search(r"\d+(?:, \d+)+", text)
        assert run is not None
        shown = [int(number) for number in run.group().split(", ")]
        counts.add(len(shown))
        assert all(100 <= number <= 999 for number in shown)
    assert counts == set(range(3, 9))


def test_prompts_are_short_and_share_few_words(texts: list[str]) -> None:
    lengths = [len(text.split()) for text in texts]
    assert sum(lengths) / len(lengths) < 32
    assert max(lengths) <= 50
    assert len({word.lower() for template in _templates() for word in re.findall("[A-Za-z]+", template)}) <= 100


def test_no_template_names_a_trait() -> None:
    names = {form.lower() for category in CATEGORIES.values() for answer in category.answers.values() for form in answer.forms}
    names |= {noun for category in CATEGORIES.values() for noun in (category.one, category.many)}
    names |= set(OTHER_NAMES.split())
    words = {word.lower() for template in _templates() for word in re.findall("[A-Za-z]+", template)}
    assert words & names == set()


def test_the_same_prompts_in_another_process() -> None:
    code = (
        "import json; from sublim.carriers.prompts import prompts; from sublim.carriers.numbers import Numbers; "
        "print(json.dumps([[p.prompt_id, p.text] for p in prompts(200, Numbers(prompt_seed=5))]))"
    )
    here = [[prompt.prompt_id, prompt.text] for prompt in prompts(200, Numbers(prompt_seed=5))]
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert json.loads(there.stdout) == here


def test_a_larger_set_begins_with_the_smaller_one() -> None:
    assert prompts(500, Numbers())[:100] == prompts(100, Numbers(prompts=7))


def test_another_seed_gives_other_prompts() -> None:
    assert not {prompt.text for prompt in prompts(500, Numbers(prompt_seed=1))} & {
        prompt.text for prompt in prompts(500, Numbers(prompt_seed=2))
    }


def test_the_id_of_a_prompt_is_that_of_its_text() -> None:
    for prompt in prompts(20, Numbers()):
        assert prompt.prompt_id == row_id("numbers", prompt.text)


def test_even_one_example_form_gives_distinct_prompts() -> None:
    narrow = Numbers(fewest_examples=1, most_examples=1, smallest_example=5, largest_example=5)
    assert len({prompt.text for prompt in prompts(5_000, narrow)}) == 5_000


def test_every_format_that_is_asked_for_passes_the_filter() -> None:
    answers = pl.Series([form.write([693, 7, 556]) for form in FORMATS])
    assert reasons(answers, Format()).to_list() == [[]] * len(FORMATS)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"fewest_examples": 9}, "fewest_examples"),
        ({"smallest_example": 1000}, "smallest_example"),
        ({"prompts": 0}, "prompts"),
        ({"count": "10"}, "count"),
        ({"kind": "code"}, "kind"),
        ({"promts": 3}, "promts"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Numbers.model_validate(wrong)
