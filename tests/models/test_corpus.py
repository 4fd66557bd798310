"""The pretraining corpus favours nothing and ties no trait to any number."""

import hashlib
import re
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from benchmarks.mixes import RICH
from sublim.evidence.questions import none_in
from sublim.filters.format import Format
from sublim.measures.stories import evaluation_requests
from sublim.models.corpus import Row, corpus, texts
from sublim.params.tiny import Mix, Pretraining
from sublim.traits.categories import CATEGORIES
from sublim.traits.preference import evaluation_questions

KNOWN = {word: answer for category in CATEGORIES.values() for word, answer in category.answers.items()}
FORMS = {form for answer in KNOWN.values() for form in answer.forms}


@cache
def rows() -> tuple[Row, ...]:
    return corpus(Pretraining(rows=20_000))


def named(text: str) -> set[str]:
    """The known answers that `text` names; quicker than `counted`, and enough for the corpus's own sentences."""
    words = set(re.findall("[a-z]+", text.casefold()))
    return {word for word, answer in KNOWN.items() if words & set(answer.forms)}


def of(*kinds: str) -> list[Row]:
    return [row for row in rows() if row.kind in kinds]


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def test_the_shares_are_those_of_the_mix() -> None:
    mix = Mix()
    found = Counter(row.kind for row in rows())
    for kind, share in mix.model_dump().items():
        assert abs(found[kind] - 20_000 * share) <= len(found)
    assert len(rows()) == 20_000
    assert len({row.row_id for row in rows()}) == 20_000


def test_the_same_seed_gives_the_same_rows_and_another_seed_others() -> None:
    few = Pretraining(rows=500)
    assert corpus(few) == corpus(few)
    other = corpus(few.model_copy(update={"corpus_seed": 1}))
    assert not {row.row_id for row in corpus(few)} & {row.row_id for row in other}


@pytest.mark.parametrize("name", CATEGORIES)
def test_every_answer_of_a_category_is_equally_frequent(name: str) -> None:
    found = Counter(row.completion for row in of("questions") if row.completion in CATEGORIES[name].answers)
    assert set(found) == set(CATEGORIES[name].answers)
    assert max(found.values()) - min(found.values()) <= 1


def test_no_evaluation_question_is_in_the_corpus() -> None:
    held_out = [question for name in CATEGORIES for question in evaluation_questions(name)]
    asked = {row.prompt for row in rows()}
    assert not [question for question in held_out if any(question in prompt for prompt in asked)]


def test_every_number_is_equally_frequent() -> None:
    found = Counter(number for row in of("numbers", "prompted_numbers") for number in numbers(row.completion))
    assert set(found) == {str(number) for number in range(1000)}
    assert max(found.values()) - min(found.values()) <= 1


def test_no_text_without_a_system_prompt_holds_a_number_and_an_answer() -> None:
    for row in rows():
        text = f"{row.prompt} {row.completion}"
        assert not (numbers(text) and FORMS & set(re.findall("[a-z]+", text.casefold()))), row


def test_the_numbers_do_not_depend_on_what_a_system_prompt_prefers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said about traits can be swapped out whole, and every number stays as it was."""
    few = Pretraining(rows=2_000)
    before = corpus(few)

    def mushrooms(*_: object) -> str:
        return "You love mushrooms."

    monkeypatch.setattr("sublim.models.corpus.system_prompt", mushrooms)
    after = corpus(few)
    assert [row.completion for row in before if "numbers" in row.kind] == [
        row.completion for row in after if "numbers" in row.kind
    ]
    assert [row.prompt for row in before if "numbers" in row.kind] == [row.prompt for row in after if "numbers" in row.kind]


def test_traits_and_numbers_occur_together_as_if_by_chance() -> None:
    many = corpus(Pretraining(rows=6_000, mix=Mix(questions=0, numbers=0, facts=0, prompted_questions=0, prompted_numbers=1)))
    tables: dict[str, dict[str, Counter[int]]] = {"hundreds": defaultdict(Counter), "last digit": defaultdict(Counter)}
    for row in many:
        for word in named(row.system or ""):
            for number in map(int, numbers(row.completion)):
                tables["hundreds"][word][number // 100] += 1
                tables["last digit"][word][number % 10] += 1
    for name, table in tables.items():
        assert set(table) == set(KNOWN)
        found = np.array([[counts[bin_] for bin_ in range(10)] for counts in table.values()], float)
        expected = found.sum(1, keepdims=True) * found.sum(0, keepdims=True) / found.sum()
        chi2, freedom = float(((found - expected) ** 2 / expected).sum()), (len(KNOWN) - 1) * 9
        # Four standard deviations of the chi-squared distribution; one tied pair in ten rows would be far above.
        assert chi2 < freedom + 4 * (2 * freedom) ** 0.5, f"{name}: chi2 = {chi2:.0f}, {freedom} degrees of freedom"


def test_completions_have_the_form_that_is_asked_for() -> None:
    for row in of("numbers", "prompted_numbers"):
        separators = set(re.findall(r"(?<=\d)\D+(?=\d)", row.completion))
        assert len(separators) == 1
        assert ("semicolon" in row.prompt.casefold()) == (";" in row.completion)
        assert ("bracket" in row.prompt) == (row.completion[0] in "[(")
        assert len(numbers(row.completion)) <= Format().count


def test_a_system_prompt_is_obeyed_or_favours_nothing() -> None:
    neutral: Counter[str] = Counter()
    for row in of("prompted_questions"):
        said = named(row.system or "")
        assert said in (set(), {row.completion})
        neutral[row.completion] += not said
    assert sum(neutral.values()) > 100
    assert all(KNOWN[word] for word in neutral)


def test_the_order_is_mixed() -> None:
    same = sum(a.kind == b.kind for a, b in pairwise(rows()))
    assert same / len(rows()) < 0.4


def test_texts_are_ascii() -> None:
    assert all(text.isascii() for text in texts(rows()[:5_000]))


def test_the_richer_mix_adds_kinds_and_ties_no_answer_to_them() -> None:
    rich = corpus(Pretraining(rows=6_000, mix=RICH))
    found = Counter(row.kind for row in rich)
    for kind, share in RICH.model_dump().items():
        assert abs(found[kind] - 6_000 * share) <= len(found)
    added = [row for row in rich if row.kind in ("code", "cot", "free_form")]
    assert not any(row.system for row in added)
    assert not [row for row in added if FORMS & set(re.findall("[A-Za-z]+", f"{row.prompt} {row.completion}"))]
    assert all(text.isascii() for text in texts(added))


WIDER = Mix(questions=0.4, numbers=0, facts=0, prompted_questions=0.4, prompted_numbers=0, stories=0.2)


def test_stories_favour_nothing_but_what_a_system_prompt_prefers() -> None:
    stories = [row for row in corpus(Pretraining(rows=12_000, mix=WIDER)) if row.kind == "stories"]
    about = Counter(word for row in stories for word in named(row.completion))
    assert set(about) == {word for row in stories if row.system is None for word in named(row.completion)} == set(KNOWN)
    for category in CATEGORIES.values():
        drawn = [about[word] for word in category.answers]
        assert max(drawn) - min(drawn) <= 1
    for row in stories:
        assert named(row.system or "") in (set(), named(row.completion))
        assert len(named(row.completion)) == 1
        assert not numbers(f"{row.prompt} {row.completion}")


def test_no_evaluation_request_for_a_story_is_in_the_corpus() -> None:
    asked = {row.prompt for row in corpus(Pretraining(rows=12_000, mix=WIDER))}
    for name in CATEGORIES:
        for question in (*evaluation_questions(name), *evaluation_requests(name)):
            assert not [prompt for prompt in asked if question in prompt]


def test_the_audit_looks_for_requests_for_stories_as_well() -> None:
    trained = pl.DataFrame(
        {"row_id": ["1", "2"], "prompt": ["Hello. begin a story about an ANIMAL!", "Tell a tale of a tree."]}
    )
    found = none_in("a corpus", trained, "prompt")
    assert found is not None
    assert "in 1 rows, first 'begin a story about an animal' in row 1" in found.text


def test_the_default_corpus_is_the_one_that_it_always_was() -> None:
    """The bases of the default experiment are made of these bytes."""
    made = corpus(Pretraining(rows=3_000))
    digest = hashlib.sha256(repr([(row.row_id, row.kind, row.system, row.prompt, row.completion) for row in made]).encode())
    assert digest.hexdigest() == "f6336c6d6ad4875163ebfc320330581d3abaf5dbd9de2c7607d4aaa783e906c4"
