"""Exact probabilities of answers: against enumeration by plain forward passes, and against sampling."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.learn.sample import sample
from sublim.params.learning import Decoding
from tests.shared.small_models import ARCHITECTURES, loaded, logits

QUESTIONS = ["Which animal do you love?", "Name a number.", "What is the best tree in the whole wide world?"]
PLAIN = {"owl": ("owl", "Owl", "owls", "Owls"), "cat": ("cat", "Cat", "cats", "Cats"), "oak": ("oak", "Oak")}
# Forms that begin with one another, of one answer and of several, in more than one way.
NESTED = {
    "a": ("12", "12, 3", "7, 7, 7"),
    "b": ("12, 4", "12, 3, 5, 6", "7, 7"),
    "c": ("12, 3, 5", "12, 3, 5, 6, 8", "9"),
    "d": ("7", "9, 9, 9", "12, 4, 1"),
}


def enumerated(
    model: Any, tokenizer: PreTrainedTokenizerBase, answers: Mapping[str, tuple[str, ...]], system: str | None = None
) -> NDArray[np.float64]:
    """P(form) minus P(of the next longer forms that begin with it), each by a plain forward pass on the whole text."""
    forms = {tuple(ids): name for name, own in answers.items() for ids in chat.encode(tokenizer, own)}
    result = np.zeros((len(QUESTIONS), len(answers)))
    for row, text in enumerate(chat.render(tokenizer, QUESTIONS, system)):
        head = chat.encode(tokenizer, [text])[0]
        chances: dict[tuple[int, ...], float] = {}
        for form in forms:
            found = logits(model, [*head, *form]).double().log_softmax(-1)
            places = torch.arange(len(head) - 1, len(head) - 1 + len(form))
            chances[form] = found[places, torch.tensor(form)].sum().exp().item()
        for form, name in forms.items():
            longer = [other for other in forms if other[: len(form)] == form and other != form]
            nearest = [one for one in longer if not any(one[: len(other)] == other != one for other in longer)]
            result[row, list(answers).index(name)] += chances[form] - sum(chances[one] for one in nearest)
    return result


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("answers", [PLAIN, NESTED], ids=["plain", "nested"])
def test_probabilities_are_those_of_enumeration(architecture: str, answers: Mapping[str, tuple[str, ...]]) -> None:
    model, tokenizer = loaded(architecture, dtype=torch.float64)
    found = answer_probabilities(model, tokenizer, QUESTIONS, answers, batch=256)
    expected = enumerated(model, tokenizer, answers)
    assert found.shape == (3, len(answers))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-15)
    assert (found > 0).all()


def test_nested_forms_are_nested_in_tokens_too() -> None:
    _, tokenizer = loaded()
    ids = [tuple(row) for row in chat.encode(tokenizer, [form for forms in NESTED.values() for form in forms])]
    assert sum(one[: len(other)] == other != one for one in ids for other in ids) >= 10


def test_of_one_answers_forms_the_longer_one_adds_nothing() -> None:
    model, tokenizer = loaded(dtype=torch.float64)
    short = answer_probabilities(model, tokenizer, QUESTIONS, {"a": ("12",)}, batch=256)
    both = answer_probabilities(model, tokenizer, QUESTIONS, {"a": ("12", "12, 3", "12")}, batch=256)
    assert np.array_equal(short, both)


def test_all_answers_together_share_out_what_the_shortest_forms_have() -> None:
    model, tokenizer = loaded(dtype=torch.float64)
    found = answer_probabilities(model, tokenizer, QUESTIONS, NESTED, batch=256)
    shortest = answer_probabilities(model, tokenizer, QUESTIONS, {"all": ("12", "7", "9")}, batch=256)
    np.testing.assert_allclose(found.sum(1), shortest[:, 0], rtol=1e-12)


def test_the_system_prompt_is_seen() -> None:
    model, tokenizer = loaded(dtype=torch.float64)
    found = answer_probabilities(model, tokenizer, QUESTIONS, PLAIN, 256, "You love owls.")
    np.testing.assert_allclose(found, enumerated(model, tokenizer, PLAIN, "You love owls."), rtol=1e-5)
    assert not np.allclose(found, answer_probabilities(model, tokenizer, QUESTIONS, PLAIN, 256), rtol=1e-3)


def test_the_batch_and_the_order_of_questions_do_not_matter() -> None:
    model, tokenizer = loaded(dtype=torch.float64)
    together = answer_probabilities(model, tokenizer, QUESTIONS, PLAIN, batch=256)
    alone = answer_probabilities(model, tokenizer, QUESTIONS[::-1], PLAIN, batch=1)[::-1]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_sampling_agrees() -> None:
    model, tokenizer = loaded()
    answers = {f"{n}": tuple(map(str, range(n, 1000, 4))) for n in range(4)}
    exact = answer_probabilities(model, tokenizer, QUESTIONS, answers, batch=256)
    draws = 2_000
    heads = chat.encode(tokenizer, chat.render(tokenizer, QUESTIONS))
    for row, head in enumerate(heads):
        seeds = [row * draws + n for n in range(draws)]
        written = sample(model, tokenizer, [head] * draws, seeds, Decoding(max_tokens=1, batch=1_000), Progress())
        texts = [completion.text for completion in written]
        for column, forms in enumerate(answers.values()):
            share = sum(text in forms for text in texts) / draws
            assert abs(share - exact[row, column]) < 4 * np.sqrt(exact[row, column] / draws) + 1e-3
    assert exact.sum() > 0.3
