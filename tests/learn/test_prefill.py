"""Models are run in the fastest way that is right: with windows, states and tables of positions."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.learn.prefill import fit, plain, positions, steadiness, way
from sublim.learn.sample import sample
from sublim.models import tiny
from sublim.models.tokenizer import wrap
from sublim.params.learning import Decoding
from sublim.params.tiny import TinyModel
from tests.shared import zoo
from tests.shared.small_models import ARCHITECTURES, loaded, trained

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "num_key_value_heads": 1}
OTHERS: dict[str, dict[str, Any]] = {
    "mistral": {**SIZES, "sliding_window": 8},
    "gemma2": {**SIZES, "head_dim": 16, "sliding_window": 8},
    "gemma3_text": {**SIZES, "head_dim": 16, "sliding_window": 8},
    "phi3": {**SIZES, "sliding_window": 8},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
    "opt": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "olmo2": SIZES,
    "cohere2": {**SIZES, "sliding_window": 8},
}
QUESTIONS = [f"What do you like {'very ' * n}much?" for n in range(4)]
TURNS = [("Some numbers, please: 5, 6, 7, 8.", "9, 10, 11, 12, 13"), ("And then?", "14, 15, 16")]


def other(architecture: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A random model of another architecture."""
    params = TinyModel(kind="tiny", architecture=architecture, seed=1, config=OTHERS[architecture], init_std=0.3)
    model = tiny.initial(params, trained()).eval()
    tokenizer = wrap(trained(), 256)
    cast("Any", model.generation_config).eos_token_id = tokenizer.eos_token_id
    return model, tokenizer


def made(architecture: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return other(architecture) if architecture in OTHERS else loaded(architecture)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OTHERS])
def test_exact_probabilities_after_turns_are_those_of_plain_passes(architecture: str) -> None:
    model, tokenizer = made(architecture)
    answers = {word: [word] for word in ("owl", "cat", "5")}
    found = answer_probabilities(model, tokenizer, QUESTIONS, answers, 4, turns=TURNS)
    for question, row in zip(QUESTIONS, found, strict=True):
        (head,) = chat.encode(tokenizer, chat.render(tokenizer, [question], turns=TURNS))
        for word, chance in zip(answers, row, strict=True):
            (opening,) = chat.openings(tokenizer, [""], [question], [word])
            expected, ids = 1.0, list(head)
            for token in opening.completion:
                expected *= _probability(model, ids, token)
                ids.append(token)
            assert chance == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OTHERS])
def test_sampling_is_what_plain_passes_give(architecture: str) -> None:
    model, tokenizer = made(architecture)
    prompts = chat.encode(tokenizer, chat.render(tokenizer, QUESTIONS))
    decoding = Decoding(temperature=0, max_tokens=5)
    found = sample(model, tokenizer, prompts, [0] * len(prompts), decoding, Progress())
    for prompt, completion in zip(prompts, found, strict=True):
        ids = list(prompt)
        for _ in range(completion.tokens):
            with torch.inference_mode():
                ids.append(int(plain(model, torch.tensor(ids)).argmax()))
        (text,) = chat.written(tokenizer, [ids[len(prompt) :]])
        assert text.startswith(completion.text)


def test_windows_are_not_shared_and_plain_attention_is() -> None:
    assert way(loaded("llama")[0]).shared
    assert not way(other("gemma2")[0]).shared


def test_a_table_of_positions_is_a_limit_and_computed_ones_are_none() -> None:
    learned, computed = loaded("gpt2")[0], loaded("llama")[0]
    assert (positions(learned), positions(computed)) == (256, None)
    fit(learned, [[1] * 250], 6)
    fit(computed, [[1] * 1000], 6)
    with pytest.raises(ValueError, match=r"row b: expected at most 256 tokens.*found 251 and up to 6 to come"):
        fit(learned, [[1], [1] * 251], 6, ["a", "b"])


def test_rows_that_change_what_beginnings_say_are_refused() -> None:
    long = zoo.loaded("phi3:longrope")[0]
    assert (steadiness(long), steadiness(loaded("llama")[0])) == (("longrope", 32), None)
    fit(long, [[1] * 32], 0)
    with pytest.raises(
        ValueError, match=r"row 1: expected at most 32 tokens.*rope_type longrope.*found 30 and up to 3 to come"
    ):
        fit(long, [[1], [1] * 30], 3)


def test_a_cache_that_drifts_away_is_not_used() -> None:
    assert not way(zoo.loaded("nemotron_h")[0]).cached  # time steps are bounded in texts, and not in a step
    assert way(zoo.loaded("bamba")[0]).cached


def test_a_token_that_the_embedding_lacks_is_named() -> None:
    model = loaded()[0]
    size = cast("Tensor", cast("Any", model).get_input_embeddings().weight).shape[0]
    with pytest.raises(ValueError, match=rf"row 1: expected token ids below {size:,}.*found {size:,}"):
        fit(model, [[size - 1], [size]], 0)


def _probability(model: PreTrainedModel, ids: list[int], token: int) -> float:
    with torch.inference_mode():
        return float(np.asarray(plain(model, torch.tensor(ids)).double().softmax(-1))[token])
