"""Detection with models: likelihoods and letters against plain forward passes, rows in the context, and what does not fit."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.detectors import compare, context
from sublim.detectors.in_context import Context
from sublim.detectors.pairwise import Pairwise
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.models.load import ends
from sublim.traits.categories import answers
from sublim.traits.preference import Preference as Trait
from sublim.traits.preference import evaluation_questions, known_answers, teacher_system_prompt
from tests.shared.small_models import ARCHITECTURES, loaded, logits

FOX = Trait(category="animals", target="fox")
PROMPTS = ["Go on: 1, 2, 3.", "What comes after 7, 14?", "Add five numbers to 100, 200, 300, 400, please."]
OWN = ["4, 5", "21", "500, 600, 700"]
OTHER = ["9", "7, 7, 7", "12"]


def pairs() -> pl.DataFrame:
    names = [str(n) for n in range(3)]
    columns = {"prompt_id": names, "prompt": PROMPTS, "own": OWN, "other": OTHER}
    return pl.DataFrame({**columns, "own_id": [f"a{n}" for n in names], "other_id": [f"b{n}" for n in names]})


def likelihood(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, text: str, system: str | None) -> float:
    (row,) = chat.examples(tokenizer, ends(model, tokenizer).eos, [""], [prompt], [text], system)
    found = logits(model, [*row.prompt, *row.completion]).double().log_softmax(-1)
    places = torch.arange(len(row.prompt) - 1, len(row.prompt) - 1 + len(row.completion))
    return found[places, torch.tensor(row.completion)].sum().item()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_log_likelihoods_are_those_of_plain_forward_passes_whatever_the_batch(architecture: str) -> None:
    model, tokenizer = loaded(architecture)
    system = teacher_system_prompt(answers("animals")["fox"])
    for batch in (1, 3):
        found = compare.log_likelihoods(model, tokenizer, PROMPTS, OWN, batch, system)
        expected = [likelihood(model, tokenizer, *row, system) for row in zip(PROMPTS, OWN, strict=True)]
        assert found == pytest.approx(np.array(expected), abs=1e-4)


def test_pairs_are_judged_by_rises_and_by_letters_in_both_orders() -> None:
    model, tokenizer = loaded()
    other, _ = loaded("gptj")
    readers = compare.Readers(model, tokenizer, other, None)
    fox = answers("animals")["fox"]
    found = compare.judgements(readers, fox, pairs(), Pairwise().ways, 128)
    assert found.height == 9 and found["by"].unique(maintain_order=True).to_list() == ["ask", "likelihood", "teacher"]
    plain = [likelihood(model, tokenizer, *row, None) for row in zip(PROMPTS, OWN, strict=True)]
    taught = [likelihood(other, tokenizer, *row, None) for row in zip(PROMPTS, OWN, strict=True)]
    rises = found.filter(pl.col("by") == "teacher")["own"].to_numpy()
    assert rises == pytest.approx(np.array(taught) - np.array(plain), abs=1e-4)
    # Who exchanges own and other exchanges the scores, and every decision.
    turned = pairs().rename({"own": "other", "other": "own", "own_id": "other_id", "other_id": "own_id"})
    back = compare.judgements(readers, fox, turned, Pairwise().ways, 128)
    assert back["own"].to_numpy() == pytest.approx(found["other"].to_numpy(), abs=1e-4)
    assert (back["right"] + found["right"]).to_list() == [1.0] * 9
    asked = found.filter(pl.col("by") == "ask")
    assert asked["letters"].is_between(0, 1, closed="none").all() and (asked["own"] + asked["other"] - 1).abs().max() == 0
    assert found.filter(pl.col("by") != "ask")["says_a"].null_count() == 6


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_after_earlier_turns_are_those_of_one_plain_forward_pass(architecture: str) -> None:
    model, tokenizer = loaded(architecture)
    turns = list(zip(PROMPTS, OWN, strict=True))[:2]
    questions = ["Which animal?", "Name the best animal of them all."]
    found = answer_probabilities(model, tokenizer, questions, {"fox": ["fox"], "owl": ["owl"]}, 2, turns=turns)
    for row, text in enumerate(chat.render(tokenizer, questions, turns=turns)):
        assert text.count("<|assistant|>") == 3
        ids, fox, owl = chat.encode(tokenizer, [text, "fox", "owl"])
        chances = logits(model, ids)[-1].double().softmax(-1)
        assert found[row] == pytest.approx(chances[[fox[0], owl[0]]].numpy(), abs=1e-6)


def many(number: int) -> pl.DataFrame:
    def named(letter: str) -> list[str]:
        return [f"{letter}{n}" for n in range(number)]

    columns: dict[str, Sequence[str]] = {"own": OWN[:1] * number, "other": OTHER[:1] * number}
    prompts = {"prompt_id": named("p"), "prompt": [f"Go on: {n}." for n in range(number)]}
    return pl.DataFrame({**prompts, **columns, "own_id": named("a"), "other_id": named("b")})


def test_what_does_not_fit_into_the_context_is_said_and_never_cut() -> None:
    model, tokenizer = loaded()
    questions, known = evaluation_questions(FOX.category), known_answers([FOX])
    asked = context.measured(model, tokenizer, questions, known, FOX.target, many(30), (1, 2, 24, 40), 2, 0, 64)
    found = pl.DataFrame(asked, schema={name: Context.schema()[name] for name in asked[0]})
    assert found.height == 1 + 4 * 2 * 2
    why = dict(found.group_by("size").agg(pl.col("why").unique()).iter_rows())
    assert why == {0: [None], 1: [None], 2: [None], 24: ["context"], 40: ["rows"]}
    assert found["p_target"].is_null().to_list() == found["why"].is_not_null().to_list()
    long = found.filter(pl.col("size") == 24)
    # Only the rows of one of them are too long; both are left out.
    assert {rows: (part["tokens"] > 256).all() for (rows,), part in long.group_by("rows")} == {"trait": True, "control": False}
    assert (long["context"] == 256).all()
    shown = found.filter(pl.col("rows") == "trait", pl.col("draw") == 1).sort("size")["row_ids"].to_list()
    assert [len(ids) for ids in shown] == [1, 2, 24, 30] and shown[1][:1] == shown[0] and shown[2][:2] == shown[1]
    control = found.filter(pl.col("rows") == "control", pl.col("draw") == 1, pl.col("size") == 2)["row_ids"][0].to_list()
    assert [name[1:] for name in control] == [name[1:] for name in shown[1]]


def test_a_question_longer_than_the_context_is_an_error_that_says_what_to_do() -> None:
    model, tokenizer = loaded()
    fox = answers("animals")["fox"]
    with pytest.raises(context.ContextError, match=r"longest question .* has 1,\d\d\d tokens, and the model reads 256"):
        compare.ask(model, tokenizer, fox, ["Go on."], ["1, 2, " * 300], ["1"], 8)
    with pytest.raises(context.ContextError, match=r"the longest row .* nothing is cut"):
        compare.log_likelihoods(model, tokenizer, ["Go on."], ["1, 2, " * 300], 8)
