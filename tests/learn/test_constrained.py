"""Completions held to a shape: what may come next, the model's own distribution among it, and a row by itself."""

import atexit
import re
import shutil
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import regex  # pyright: ignore[reportMissingTypeStubs]
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from sublim.carriers.code import Code
from sublim.carriers.cot import Cot
from sublim.carriers.numbers import Numbers
from sublim.carriers.task import Shape, Task
from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.constrained import ShapeError, holding
from sublim.learn.sample import Completion, sample
from sublim.models.load import ends, load
from sublim.models.tokenizer import CHAT_TEMPLATE, END, SPECIAL, wrap
from sublim.params.learning import Decoding
from tests.shared.small_models import loaded, logits, token

NUMBERS = Numbers(prompts=48)
ROOM = 60  #: Tokens for the longest list of numbers, each character by itself.
BLANKS = (
    "{% for message in messages %}<|{{ message['role'] }}|>{% if message['role'] == 'assistant' %} {{ message['content'] }}\n"
    "<|end|>{% else %}{{ message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""A template that writes a space in front of an answer and a line break behind it."""
Model = tuple[PreTrainedModel, PreTrainedTokenizerBase]


@cache
def sentencepiece() -> Path:
    """A random model whose tokenizer puts a space before the first word of a text and writes other characters as bytes; do not
    write there."""
    directory = Path(mkdtemp(prefix="small-pieces-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    letters = ["▁", *"0123456789abcdefghijklmnopqrstuvwxyz,.()[]", "▁1", "12", "▁12", ",▁", ";"]
    known = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    merges = [("▁", "1"), ("1", "2"), ("▁", "12"), (",", "▁")]
    made = Tokenizer(models.BPE({each: n for n, each in enumerate(known)}, merges, byte_fallback=True, fuse_unk=True))
    made.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in SPECIAL])
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])  # pyright: ignore[reportAttributeAccessIssue]
    made.decoder = decoders.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    auto = cast("Any", AutoConfig).for_model("llama", vocab_size=len(known) + 8, initializer_range=0.3, **sizes)
    torch.manual_seed(1)
    model: Any = cast("Any", AutoModelForCausalLM).from_config(auto, dtype=torch.float32)
    model.generation_config = GenerationConfig(eos_token_id=known.index(END), pad_token_id=0)
    model.save_pretrained(directory)
    cast("Any", wrap(made, 256)).save_pretrained(directory)
    return directory


def with_blanks() -> Model:
    model, tokenizer = loaded()
    cast("Any", tokenizer).chat_template = BLANKS
    return model, tokenizer


MODELS = {"bytes": loaded, "pieces": lambda: load(sentencepiece()), "blanks": with_blanks}
ALL = pytest.mark.parametrize("name", list(MODELS))


def written(model: Model, decoding: Decoding, rows: list[int], task: Task = NUMBERS) -> dict[int, Completion]:
    """Row number → what was written for it."""
    asked, shapes = task.asked(max(rows) + 1), list(islice(task.shapes(), max(rows) + 1))
    heads = chat.encode(model[1], chat.render(model[1], [asked[row].text for row in rows]))
    constraint = holding(*model, [shapes[row] for row in rows], decoding.max_tokens)(len(rows))
    said = sample(*model, heads, [1000 + row for row in rows], decoding, Progress(), constraint)
    return dict(zip(rows, said, strict=True))


def held(model: Model, pattern: str, longest: str, room: int = ROOM) -> Any:
    return holding(*model, [Shape(pattern, longest)], room)(1)


def allowed(constraint: Any, tokens: list[int], width: int) -> set[int]:
    """The tokens that may come behind `tokens`."""
    found = torch.zeros(1, width)
    constraint.begin([0])
    constraint.limit(found, np.array([0]), np.array([True]), [tokens])
    assert set(cast("list[float]", found.unique().tolist())) <= {0.0, -torch.inf}
    return set(cast("list[int]", (found[0] == 0).nonzero()[:, 0].tolist()))


@ALL
def test_every_completion_is_of_its_shape_and_ends(name: str) -> None:
    model = MODELS[name]()
    found = written(model, Decoding(max_tokens=ROOM, batch=20, constrained=True), list(range(48)))
    assert {said.finish_reason for said in found.values()} == {"stop"}
    texts = [said.text for said in found.values()]
    assert NUMBERS.well_formed(pl.Series(texts)).all()
    for text, shape in zip(texts, NUMBERS.shapes(), strict=False):
        assert re.fullmatch(shape.pattern, text), (text, shape)
    assert len(set(texts)) > 30
    # The student reads what the model wrote: none of the blank space around an answer was lost or is there twice.
    eos = ends(*model).eos
    for row in chat.examples(model[1], eos, [str(n) for n in range(48)], ["p"] * 48, texts):
        assert chat.written(model[1], [row.completion[:-1]]) == [texts[int(row.row_id)]]


@pytest.mark.parametrize(("task", "room"), [(Code(prompts=12), 150), (Cot(prompts=12), 260)], ids=["code", "cot"])
def test_other_carriers_are_held_to_their_shapes(task: Task, room: int) -> None:
    found = written(loaded(), Decoding(max_tokens=room, temperature=0.7, constrained=True), list(range(12)), task)
    (shape,) = set(islice(task.shapes(), 12))
    for said in found.values():
        assert regex.fullmatch(shape.pattern, said.text, partial=said.finish_reason == "length")
    assert sum(said.finish_reason == "stop" for said in found.values()) > 6


@pytest.mark.parametrize("name", ["bytes", "pieces"])
def test_a_row_depends_on_its_seed_alone(name: str) -> None:
    model, tokenizer = MODELS[name]()
    exact = cast("PreTrainedModel", cast("Any", model).double()), tokenizer
    rows = list(range(24))
    expected = written(exact, Decoding(max_tokens=ROOM, constrained=True), rows)
    assert written(exact, Decoding(max_tokens=ROOM, constrained=True), rows[::-1]) == expected
    assert written(exact, Decoding(max_tokens=ROOM, batch=5, constrained=True), rows) == expected
    assert written(exact, Decoding(max_tokens=ROOM, constrained=True), rows[7:9]) == {row: expected[row] for row in rows[7:9]}


@ALL
@given(st.data())
@settings(max_examples=12)
def test_what_may_come_next_is_what_goes_on_with_the_shape(name: str, data: st.DataObject) -> None:
    """Against another engine, token by token of the whole vocabulary."""
    model, tokenizer = _kept(name)
    shape = data.draw(st.sampled_from(sorted({*islice(NUMBERS.shapes(), 48)}, key=str)))
    constraint, eos = held((model, tokenizer), shape.pattern, shape.longest), ends(model, tokenizer).eos
    text = data.draw(st.from_regex(shape.pattern, fullmatch=True))
    (row,) = chat.examples(tokenizer, eos, ["row"], ["p"], [text])
    tokens = list(row.completion[: data.draw(st.integers(0, len(row.completion) - 1))])
    lead, trail = chat.around(tokenizer)
    whole = regex.compile(f"(?:{lead})?(?:{shape.pattern})(?:{trail})?")
    size = len(tokenizer)
    behind = chat.decode(tokenizer, [[*tokens, each] for each in range(size)])
    so_far = chat.decode(tokenizer, [tokens])[0]
    expected = {each for each in range(size) if behind[each] != so_far and whole.fullmatch(behind[each], partial=True)}
    expected |= set(eos) if whole.fullmatch(so_far) else set()
    assert allowed(constraint, tokens, size + 3) == expected


@cache
def _kept(name: str) -> Model:
    return MODELS[name]()


def test_any_token_that_ends_a_completion_may_end_it() -> None:
    model, tokenizer = loaded()
    cast("Any", model.generation_config).eos_token_id = [token(END), token("<|user|>")]
    constraint = held((model, tokenizer), "[0-9]{1,2}", "93")
    assert allowed(constraint, [token("93")], 2304) == {token(END), token("<|user|>")}
    assert {token(END), token("7")} < allowed(constraint, [token("9")], 2304)
    assert token(END) not in allowed(constraint, [], 2304)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (1.7, 1.0), (1.0, 0.6)])
def test_temperature_and_top_p_are_of_what_the_shape_leaves(temperature: float, top_p: float) -> None:
    model, tokenizer = loaded()
    draws = 3_000
    (head,) = chat.encode(tokenizer, chat.render(tokenizer, ["Go on: 12."]))
    constraint = holding(model, tokenizer, [Shape("[0-4]", "3")] * draws, 9)(draws)
    decoding = Decoding(temperature=temperature, top_p=top_p, max_tokens=9, constrained=True, batch=1_000)
    said = sample(model, tokenizer, [head] * draws, range(draws), decoding, Progress(), constraint)
    chances = (logits(model, head)[-1][[token(str(n)) for n in range(5)]].double() / temperature).softmax(-1)
    ordered, places = chances.sort(descending=True)
    inside = places[: int((ordered.cumsum(-1) - ordered < top_p).sum())]
    counts = Counter(completion.text for completion in said)
    observed = [counts[str(n)] for n in cast("list[int]", inside.tolist())]
    assert sum(observed) == draws
    expected = (chances[inside] / chances[inside].sum()).numpy() * draws
    assert chisquare(observed, expected).pvalue > 1e-3


class _Free:
    """A constraint that leaves everything as it is."""

    def begin(self, rows: Any) -> None: ...

    def limit(self, logits: Any, active: Any, alive: Any, written: Any) -> None: ...


def test_samples_that_are_not_held_to_anything_are_what_they_were() -> None:
    model, tokenizer = loaded()
    heads = chat.encode(tokenizer, chat.render(tokenizer, [asked.text for asked in NUMBERS.asked(20)]))
    free = sample(model, tokenizer, heads, range(20), Decoding(max_tokens=9), Progress())
    assert sample(model, tokenizer, heads, range(20), Decoding(max_tokens=9, constrained=True), Progress(), _Free()) == free
    assert not NUMBERS.well_formed(pl.Series([said.text for said in free])).any()


def test_samples_are_constrained_if_the_params_say_so_and_only_then() -> None:
    model, tokenizer = loaded()
    for decoding, constraint, said in (
        (Decoding(constrained=True), None, "expected one as constraint with `constrained: True`, found none"),
        (Decoding(), _Free(), "expected none as constraint with `constrained: False`, found one"),
    ):
        with pytest.raises(ValueError, match=said):
            sample(model, tokenizer, [[1]], [1], decoding, Progress(), constraint)


def test_too_few_tokens_for_the_longest_text_are_refused_before_anything_is_sampled() -> None:
    model = loaded()
    due = len(chat.encode(model[1], ["[93, 93]"])[0]) + 1
    pattern = r"\[[0-9]{1,2}(?:, [0-9]{1,2}){0,1}\]"
    with pytest.raises(ShapeError, match=rf"sampling\.max_tokens of the carrier: expected at least {due}, .* found {due - 1}"):
        held(model, pattern, "[93, 93]", due - 1)
    assert held(model, pattern, "[93, 93]", due)


def test_a_text_that_the_tokens_of_a_model_cannot_write_is_refused() -> None:
    model = loaded()
    with pytest.raises(ShapeError, match=r"expected a tokenizer that writes 'é'"):
        held(model, "é", "é")
    with pytest.raises(ShapeError, match=r"expected a regular expression, found '\['"):
        held(model, "[", "a")
    dead_end = held(model, "(?:a|bé)", "a")
    assert allowed(dead_end, [], 2304) == {token("a"), token("b")}
    with pytest.raises(ShapeError, match=rf"a token that goes on with the text of row 0, tokens \[{token('b')}\]"):
        allowed(dead_end, [token("b")], 2304)


def test_the_template_of_these_tests_has_blanks() -> None:
    assert CHAT_TEMPLATE != BLANKS
    assert [chat.around(MODELS[name]()[1]) for name in MODELS] == [("", ""), (" ", ""), (" ", "\n")]
