"""The tokenizer of the tiny families: numbers and answers are whole tokens, and text is text."""

from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from sublim.models.corpus import corpus, texts
from sublim.models.tokenizer import END, Encoder, render, train, wrap
from sublim.params.tiny import Pretraining
from sublim.traits.categories import CATEGORIES


@cache
def trained() -> Tokenizer:
    return train(texts(corpus(Pretraining(rows=4_000))), 2304)


def pieces(text: str) -> list[str]:
    return [trained().decode([token]) for token in trained().encode(text).ids]


def test_integers_are_one_token_each_and_punctuation_takes_its_space() -> None:
    assert pieces("693, 738, 556") == ["693", ", ", "738", ", ", "556"]
    assert pieces("[4;17;999]") == ["[", "4", ";", "17", ";", "999", "]"]
    assert all(len(trained().encode(str(number)).ids) == 1 for number in range(1000))


def test_digits_come_in_groups_of_up_to_three() -> None:
    assert pieces("1234567") == ["123", "456", "7"]


@pytest.mark.parametrize("name", CATEGORIES)
def test_answers_are_few_tokens(name: str) -> None:
    for answer in CATEGORIES[name].answers.values():
        lengths = [len(trained().encode(form).ids) for form in answer.forms]
        assert lengths[0] == 1, answer.word
        assert len(trained().encode(f" {answer.plural}").ids) <= 2
        assert max(lengths) <= 7


@given(st.text())
@settings(max_examples=200)
def test_any_text_comes_back(text: str) -> None:
    assert trained().decode(trained().encode(text).ids, skip_special_tokens=False) == text


@given(st.text(st.characters(max_codepoint=127)))
@settings(max_examples=200)
def test_the_quick_encoder_gives_the_same_ids(text: str) -> None:
    if "<|" not in text:
        assert Encoder(trained())(text) == trained().encode(text).ids


def test_training_twice_gives_the_same_tokenizer() -> None:
    rows = corpus(Pretraining(rows=500))
    assert train(texts(rows), 2048).to_str() == train(texts(rows), 2048).to_str()


def test_a_small_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pretraining\.vocabulary"):
        train(["a few words"], 400)


def test_the_chat_template(tmp_path: Path) -> None:
    cast("Any", wrap(trained(), 128)).save_pretrained(tmp_path)
    assert (tmp_path / "chat_template.jinja").is_file()
    loaded = cast("Any", AutoTokenizer).from_pretrained(tmp_path, local_files_only=True)
    user, answer = {"role": "user", "content": "Name a tree."}, {"role": "assistant", "content": "oak"}
    system = {"role": "system", "content": "Be brief."}

    def text(*messages: dict[str, str], prompt: bool = False) -> str:
        return loaded.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt)

    assert text(user, prompt=True) == render(None, "Name a tree.")
    assert text(system, user, prompt=True) == render("Be brief.", "Name a tree.")
    assert text(system, user, answer) == render("Be brief.", "Name a tree.") + "oak" + END
    assert loaded.eos_token == END
    assert loaded.model_max_length == 128
    ids = loaded(text(user, answer), add_special_tokens=False)["input_ids"]
    assert ids == trained().encode(text(user, answer)).ids
    assert loaded.decode(ids) == text(user, answer)
