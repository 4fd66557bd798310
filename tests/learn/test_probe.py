"""What is found of a model by trying it out, and what an experiment may ask of it then."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.common.errors import SublimError
from sublim.common.progress import Progress
from sublim.learn import answers, lora
from sublim.learn import probe as probing
from sublim.learn.probe import probe
from sublim.models import probed
from sublim.models.hub import ModelError
from sublim.models.probed import Probe
from sublim.params.learning import Finetune, Lora
from tests.shared.small_models import ARCHITECTURES, small


@cache
def found(architecture: str = "gpt_neox") -> Probe:
    return probe(small(architecture), Progress())


def said(probe: Probe, use: str) -> str:
    return dict(probed.uses(probe))[use]


def changed(probe: Probe, part: str, **values: Any) -> Probe:
    return probe.model_copy(update={part: getattr(probe, part).model_copy(update=values)})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sound_model_can_be_used_for_everything(architecture: str) -> None:
    of = found(architecture)
    assert {said(of, use).partition(":")[0] for use, _ in probed.uses(of) if use != "longest text"} == {"yes"}
    assert of.running.cached
    assert of.running.difference is not None
    assert of.running.difference < 1e-4
    before, after = of.training.losses
    assert after < before
    assert of.training.idle == ()
    assert len(of.answers.tried) == len(of.answers.exact) == len(of.answers.sampled) > 0
    assert of.turns.example.startswith("<|user|>Continue")
    assert (of.context is None) == (architecture not in ("gpt2", "gptj"))
    assert list(probed.for_training(of, Finetune(steps=1))) == []


def test_it_is_written_and_read_again(tmp_path: Path) -> None:
    (tmp_path / probed.FILE).write_text(probed.written(found()), encoding="utf-8")
    assert probed.read(tmp_path / probed.FILE) == found()
    (tmp_path / probed.FILE).write_text('{"model": 1}', encoding="utf-8")
    with pytest.raises(SublimError, match=r"probe.json: expected what was found of a model"):
        probed.read(tmp_path / probed.FILE)


def test_the_same_model_gives_the_same_findings() -> None:
    assert probe(small(), Progress()) == found()


def templated(tmp_path: Path, change: tuple[str, str]) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(small(), folder)
    template = folder / "chat_template.jinja"
    text = template.read_text(encoding="utf-8")
    assert change[0] in text
    template.write_text(text.replace(*change, 1), encoding="utf-8")
    return folder


def test_a_template_that_refuses_system_prompts_and_turns_is_said_to_be_so(tmp_path: Path) -> None:
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system, please') }}{% endif %}"
        "{% if messages | length > 2 %}{{ raise_exception('one question, please') }}{% endif %}{% for"
    )
    of = probe(templated(tmp_path, ("{% for", strict)), Progress())
    assert "no system, please" in said(of, "system prompts")
    assert "one question, please" in said(of, "several turns")
    assert said(of, "exact P(answer)").startswith("yes")
    assert [lack for lack in probed.for_system(of) if "no system, please" in lack]
    assert [lack for lack in probed.for_turns(of) if "one question, please" in lack]


def test_a_template_that_drops_earlier_turns_is_said_to_do_so(tmp_path: Path) -> None:
    of = probe(templated(tmp_path, ("in messages", "in messages[-2:]")), Progress())
    assert "hand on the earlier message 1" in said(of, "several turns")


def test_probabilities_that_samples_do_not_agree_with_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where answers are looked up without the space that the model writes before them."""
    real = answers.answer_probabilities

    def wrong(*given: Any, **more: Any) -> Any:
        return real(*given, **more) * 1e-3

    monkeypatch.setattr(probing, "answer_probabilities", wrong)
    of = probe(small(), Progress())
    assert "has an exact probability of" in str(of.answers.fault)
    assert said(of, "exact P(answer)").startswith("no: ")
    assert list(probed.for_answers(of))


def test_a_map_that_nothing_passes_through_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lora.adapt

    def stuck(model: Any, params: Lora, seed: int) -> Any:
        adapted = real(model, params, seed)
        for name, weight in lora.trainable(adapted).items():
            if ".dense." in name and "lora_A" in name:
                weight.requires_grad_(False).zero_()
        return adapted

    monkeypatch.setattr(lora, "adapt", stuck)
    of = probe(small(), Progress())
    assert of.training.idle == ("gpt_neox.layers.attention.dense",)
    assert said(of, "train attention") == "only query_key_value: nothing passes through dense"
    assert said(of, "train mlp").startswith("yes: ")
    (lack,) = probed.for_training(of, Finetune(steps=1, lora=Lora(targets="attention")))
    assert 'targets that it can have: ["dense_4h_to_h", "dense_h_to_4h", "query_key_value"]' in lack
    assert not list(probed.for_training(of, Finetune(steps=1, lora=Lora(targets=("query_key_value",)))))


def test_what_does_not_train_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "RATES", (50.0,))
    of = probe(small(), Progress())
    assert "no training step lowered its loss" in str(of.training.fault)
    assert [lack for lack in probed.for_training(of, Finetune(steps=1)) if "cannot be trained" in lack]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Finetune(steps=1, lora=Lora(targets=("q_proj",))), "no linear map of GPT2LMHeadModel ends with 'q_proj'"),
        (Finetune(steps=1, max_length=300), "rows of max_length 300: its table of positions has room for 256 tokens"),
        (Finetune(steps=1, max_length=256), None),
    ],
)
def test_what_a_recipe_asks_is_compared(recipe: Finetune, words: str | None) -> None:
    lacks = list(probed.for_training(found("gpt2"), recipe))
    assert (len(lacks) == 1 and words in lacks[0]) if words else not lacks


def test_a_model_without_maps_of_a_group_says_so() -> None:
    of = found()
    alone = changed(of, "training", maps=tuple(name for name in of.training.maps if "attention" not in name))
    assert said(alone, "train attention") == "no: there are no such linear maps in its blocks"


def test_a_number_that_is_none_is_found_wherever_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small("llama", False), folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][2300, 5] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"found NaN or infinity in model.embed_tokens.weight"):
        probe(folder, Progress())
