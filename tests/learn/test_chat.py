"""Chat messages as token ids: labels are exactly the completion and its end, whatever the template does."""

import hashlib
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from sublim.learn import chat
from sublim.models.template import DATE, TemplateError
from sublim.models.tokenizer import CHAT_TEMPLATE, END, PAD, SPECIAL, render, wrap
from tests.shared.small_models import token, trained

DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|system|>You are kind.' }}{% endif %}"
    + CHAT_TEMPLATE
)  # fmt: skip
PLAIN = (
    "{% for message in messages %}{{ message['role'] + ':' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
TEXT = st.text().filter(lambda text: "<|" not in text)


@cache
def tokenizer(template: str = CHAT_TEMPLATE) -> PreTrainedTokenizerBase:
    made: Any = wrap(trained(), 256)
    made.chat_template = template
    return made


def example(prompt: str, completion: str, template: str = CHAT_TEMPLATE, system: str | None = None) -> chat.Example:
    (made,) = chat.examples(tokenizer(template), (token(END),), ["row"], [prompt], [completion], system)
    return made


def text(ids: tuple[int, ...]) -> str:
    return trained().decode(list(ids), skip_special_tokens=False)


@given(TEXT, TEXT, st.sampled_from([CHAT_TEMPLATE, DEFAULT_SYSTEM, PLAIN]), st.sampled_from([None, "Be brief."]))
@settings(max_examples=200)
def test_prompt_and_labels_decode_to_the_template_and_to_completion_and_end(
    prompt: str, completion: str, template: str, system: str | None
) -> None:
    row = example(prompt, completion, template, system)
    (rendered,) = chat.render(tokenizer(template), [prompt], system)
    assert text(row.prompt) == rendered
    assert text(row.completion) == completion + END
    assert row.completion.count(token(END)) == 1


def test_the_default_system_prompt_of_a_template_is_in_the_prompt_and_gives_way() -> None:
    assert text(example("Hi", "ho", DEFAULT_SYSTEM).prompt) == render("You are kind.", "Hi")
    assert text(example("Hi", "ho", DEFAULT_SYSTEM, "Be brief.").prompt) == render("Be brief.", "Hi")


def test_a_token_across_the_boundary_is_split_as_a_model_writes_it() -> None:
    row = example("Hi", " 5, 6", PLAIN)
    (rendered,) = chat.render(tokenizer(PLAIN), ["Hi"])
    head, whole = chat.encode(tokenizer(PLAIN), [rendered, rendered + " 5, 6"])
    assert whole[: len(head)] != head
    assert list(row.prompt) == head
    assert text(row.completion) == " 5, 6" + END


def test_rows_keep_their_order_when_only_some_straddle() -> None:
    completions = ["5", " 6", "7", " 8"]
    rows = chat.examples(tokenizer(PLAIN), (token(END),), list("abcd"), ["Hi"] * 4, completions)
    assert [text(row.completion) for row in rows] == [completion + END for completion in completions]
    assert [row.row_id for row in rows] == list("abcd")


def test_the_end_of_turn_is_the_templates_then_the_tokenizers() -> None:
    other = token("<|user|>")
    assert chat.end_of_turn(tokenizer(), (other, token(END))) == token(END)
    assert chat.end_of_turn(tokenizer(PLAIN.replace("<|end|>", "<|user|>")), (other, token(END))) == other
    assert chat.end_of_turn(tokenizer(PLAIN.replace("<|end|>", "")), (token(END),)) == token(END)
    assert chat.end_of_turn(tokenizer(), (7,)) == token(END), "an end that the configuration of the model does not name"
    with pytest.raises(ValueError, match=r"end an answer with one of the ids \[7\]"):
        chat.end_of_turn(tokenizer(PLAIN.replace("<|end|>", "")), (7,))


def test_a_mark_that_comes_first_ends_the_turn_whatever_else_ends_a_text_behind_it() -> None:
    both = PLAIN.replace("<|end|>", "<|user|>\n<|end|>")
    assert chat.end_of_turn(tokenizer(both), (token(END),)) == token("<|user|>")
    (row,) = chat.examples(tokenizer(both), (token(END),), ["row"], ["Hi"], ["ho"])
    assert text(row.completion) == "ho<|user|>"


@pytest.mark.parametrize(
    ("template", "lost"),
    [
        (CHAT_TEMPLATE, None),
        (CHAT_TEMPLATE.replace("in messages", "in messages[-2:]"), "earlier message 1, 'What is it'"),
        ("{% for message in messages %}{% if message.role == 'user' or loop.last %}<|{{ message.role }}|>{{ message.content }}"
         "<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}", "earlier message 2, 'owl'"),
    ],
)  # fmt: skip
def test_earlier_turns_reach_the_model_or_are_refused(template: str, lost: str | None) -> None:
    if lost is None:
        assert chat.render(tokenizer(), ["And what"], None, [("What is it", "owl")])
        return
    assert chat.render(tokenizer(template), ["And what"])
    with pytest.raises(TemplateError, match=f"hand on the {lost}, found that it does not"):
        chat.render(tokenizer(template), ["And what"], None, [("What is it", "owl")])


def test_an_answer_that_a_template_shortens_is_refused() -> None:
    short = CHAT_TEMPLATE.replace("message['content'] + '<|end|>'", "message['content'][:20] + '<|end|>'")
    assert text(example("Hi", "12, 30", short).completion) == "12, 30" + END
    with pytest.raises(TemplateError, match=r"row row: expected the chat template to write the answer as it is, '12, 30, 52"):
        example("Hi", "12, 30, 52, 71, 90, 104", short)


def test_a_space_that_a_tokenizer_puts_behind_a_special_token_is_no_part_of_an_answer() -> None:
    """As tokenizers after sentencepiece do: what a model wrote is learned by the tokens that it wrote."""
    letters = ["▁", "▁eagle", "eagle", *"abcdefghijklmnopqrstuvwxyz0123456789,"]
    made = Tokenizer(models.WordLevel({each: n for n, each in enumerate([*SPECIAL, *letters])}, unk_token=PAD))
    made.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in SPECIAL])
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])  # pyright: ignore[reportAttributeAccessIssue]
    made.pre_tokenizer = pre_tokenizers.Split(Regex("▁?eagle|."), behavior="isolated")  # pyright: ignore[reportAttributeAccessIssue]
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])  # pyright: ignore[reportAttributeAccessIssue]
    wrapped = wrap(made, 256)
    for answer in ("eagle", "7, 8"):
        rows: list[chat.Example] = []
        for again in (answer, None):
            given = again or chat.written(wrapped, [rows[0].completion[:-1]])[0]
            rows += chat.examples(wrapped, (SPECIAL.index(END),), ["row"], ["what"], [given])
        assert chat.decode(wrapped, [rows[0].completion]) == [f" {answer}{END}"]
        assert chat.written(wrapped, [rows[0].completion[:-1]]) == [answer]
        assert rows[1] == rows[0]


def test_a_template_with_a_date_gives_the_same_text_on_any_day() -> None:
    dated = "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }}" + CHAT_TEMPLATE
    assert chat.render(tokenizer(dated), ["Hi"]) == [DATE + render(None, "Hi")]
    clock = "{{ strftime_now('%d %b %Y') }}" + CHAT_TEMPLATE
    assert chat.render(tokenizer(clock), ["Hi"]) == [DATE + render(None, "Hi")]


@given(TEXT)
@settings(max_examples=100)
def test_decoding_gives_the_text_back(written: str) -> None:
    (ids,) = chat.encode(tokenizer(), [written])
    assert chat.decode(tokenizer(), [ids, [*ids, token(END)]]) == [written, written + END]


def test_nothing_gives_nothing() -> None:
    assert chat.render(tokenizer(), []) == []
    assert chat.encode(tokenizer(), []) == []


def test_the_digest_of_the_template() -> None:
    assert chat.template_digest(tokenizer()) == hashlib.sha256(CHAT_TEMPLATE.encode()).hexdigest()
    assert chat.template_digest(tokenizer(PLAIN)) != chat.template_digest(tokenizer())
