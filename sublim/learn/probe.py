"""A model is tried out, once, in seconds, before anything is trained: what it can be used for here."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from sublim.common.files import write_text
from sublim.common.progress import Progress
from sublim.learn import chat, lora
from sublim.learn.answers import answer_probabilities
from sublim.learn.finetune import finetune
from sublim.learn.prefill import apart, fit, plain, positions, prefill, way
from sublim.learn.sample import sample
from sublim.models import maps, turns
from sublim.models.hub import ModelError
from sublim.models.load import ends, load
from sublim.models.probed import FILE, Answers, Probe, Running, Training, Turns, written
from sublim.models.template import TemplateError
from sublim.params.learning import Decoding, Finetune, Lora

QUESTION = "Name your favorite animal. Answer with a single word."
SYSTEM = "You answer every question with one word."
ROWS = (
    ("Continue this list: 12, 30, 52.", "71, 90, 104"),
    ("Name a color.", "Green."),
    ("What is two plus three?", "Five"),
    ("Which city is the capital of France?", "Paris, on the Seine."),
)
SAMPLES = 512
TRIED = 8  #: Answers whose probabilities are compared.
CHANCE = 1e-6  #: How rarely a right probability may seem wrong, for all answers of a model together.
RATES = (1e-3, 1e-4, 1e-5)  #: Of a training step, tried in this order: one that is small enough lowers the loss.


def probe(directory: Path, progress: Progress) -> Probe:
    """What is found of the model in `directory`. `progress`: of the samples. Raises ModelError, TemplateError, ValueError: it
    cannot be used at all (see `load`, `ends`, `chat.render`)."""
    model, tokenizer = load(directory)
    if odd := [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]:
        raise ModelError(f"{directory}: expected numbers, found NaN or infinity in {', '.join(odd[:3])}")
    size = int(cast("Any", model).get_input_embeddings().weight.shape[0])
    return Probe(
        model=type(model).__name__,
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        vocabulary=size,
        context=positions(model),
        turns=_turns(model, tokenizer),
        running=_running(model, tokenizer),
        answers=_answers(model, tokenizer, progress),
        training=_training(model, tokenizer, directory, progress),  # the last: it changes the model
    )


def write(directory: Path, progress: Progress) -> None:
    """Write what is found of the model in `directory` beside it. Raises as `probe`."""
    write_text(directory / FILE, written(probe(directory, progress)))


def quiet() -> None:
    """Let libraries say nothing of what they load, nor of each other: for a command whose output is a table."""
    cast("Any", logging).disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)


def _turns(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Turns:
    limits, template = ends(model, tokenizer), turns.template(tokenizer)
    prompt, answer = ROWS[0]
    (example,) = template.rendered(
        [[{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]], generate=False
    )
    chat.examples(tokenizer, limits.eos, ["0"], [prompt], [answer])  # what is trained on, for all uses
    each = cast("list[str]", cast("Any", tokenizer).convert_ids_to_tokens(list(limits.eos)))
    (end,) = cast("list[str]", cast("Any", tokenizer).convert_ids_to_tokens([turns.end_of_turn(tokenizer, limits.eos)]))
    return Turns(
        example=example,
        ends=tuple(each),
        end_of_turn=end,
        lead=template.form.lead,
        system=_refused(tokenizer, SYSTEM),
        several=_refused(tokenizer, None, ROWS[1:3]),
    )


def _refused(tokenizer: PreTrainedTokenizerBase, system: str | None, before: Sequence[tuple[str, str]] = ()) -> str | None:
    try:
        chat.render(tokenizer, [QUESTION], system, before)
    except TemplateError as error:
        return str(error)
    return None


@torch.inference_mode()
def _running(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Running:
    found, rows = way(model), chat.encode(tokenizer, chat.render(tokenizer, [prompt for prompt, _ in ROWS]))
    fit(model, rows, 0)
    differ = None
    if found.cached:
        said = prefill(model, rows, ends(model, tokenizer).pad).logits
        due = torch.stack([plain(model, torch.tensor(row, device=said.device)) for row in rows])
        differ = _brief(apart(due, said).max().item())
    return Running(cached=found.cached, compaction=found.compaction, shared=found.shared, difference=differ)


def _answers(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: Progress) -> Answers:
    """Exact probabilities of what it answered most in half of its samples, against its share of the other half. Of a token
    each: what begins with a text is then what is that text."""
    prompts = chat.encode(tokenizer, chat.render(tokenizer, [QUESTION])) * SAMPLES
    one = sample(model, tokenizer, prompts, range(SAMPLES), Decoding(max_tokens=1, batch=SAMPLES), progress)
    texts = [each.text if each.finish_reason == "length" else "" for each in one]
    half = SAMPLES // 2
    often = Counter(text for text in texts[:half] if text.strip() and "�" not in text)
    tried = [text for text, _ in often.most_common() if _written_so(tokenizer, text)][:TRIED]
    if not tried:
        fault = f"none of {half} sampled tokens is a text that its tokenizer writes by one token"
        return Answers(samples=SAMPLES, tried=(), exact=(), sampled=(), fault=fault)
    found = [float(answer_probabilities(model, tokenizer, [QUESTION], {text: [text]}, 1)[0, 0]) for text in tried]
    later = Counter(texts[half:])
    counts = [later[text] for text in tried]
    odd = [
        f"{text!r} has an exact probability of {exact:.3g}, and is {count} of {half} samples"
        for text, exact, count in zip(tried, found, counts, strict=True)
        if _rare(count, half, exact) < CHANCE / len(tried)
    ]
    return Answers(
        samples=SAMPLES,
        tried=tuple(tried),
        exact=tuple(map(_brief, found)),
        sampled=tuple(_brief(count / half) for count in counts),
        fault="; ".join(odd) or None,
    )


def _written_so(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether the tokenizer has one token for `text` behind something else: a model may write other tokens, a tokenizer does
    not, and their probabilities are of another text's."""
    for before in ("", "\n", ":", "x", "x "):
        head, whole = chat.encode(tokenizer, [before, before + text])
        if whole[: len(head)] == head and len(whole) == len(head) + 1:
            return True
    return False


def _rare(count: int, of: int, chance: float) -> float:
    """The two-sided binomial probability of a count as far off as this."""
    from scipy import stats  # pyright: ignore[reportMissingTypeStubs]  # slow to import

    return float(cast("Any", stats).binomtest(count, of, min(1.0, max(0.0, chance))).pvalue)


def _training(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path, progress: Progress) -> Training:
    """Adapters on all linear maps of the blocks that can have one, and a training step on a few rows. `model` is changed; where
    some can have none, it is loaded again from `directory`."""
    try:
        names = lora.linear_maps(model)
    except ValueError as error:
        return Training(maps=(), adapters=0, unfit={}, idle=(), losses=(), fault=str(error))
    each = {name: maps.kinds([name])[0] for name in names}
    kinds = tuple(dict.fromkeys(each.values()))
    unfit: dict[str, str] = {}
    try:
        try:
            adapted = lora.adapt(model, _adapters("all-linear"), 0)
        except ValueError:
            unfit = _unfit(directory, names)
            rest = tuple(sorted({maps.within_block(name) for name in names} - unfit.keys()))
            adapted = lora.adapt(load(directory)[0], _adapters(rest), 0)
        losses = _losses(adapted, tokenizer, progress)
    except (ValueError, RuntimeError, NotImplementedError) as error:
        return Training(maps=kinds, adapters=0, unfit=unfit, idle=(), losses=(), fault=f"{error}")
    moved = {each[name] for name in _moved(adapted)}
    idle = tuple(dict.fromkeys(each[name] for name in names if name in lora.adapted_maps(adapted) and each[name] not in moved))
    before, after = losses
    fault = None if after < before else f"no training step lowered its loss, {before:.6g} → {after:.6g} by the smallest"
    shown = (_brief(before), _brief(after))
    return Training(maps=kinds, adapters=len(lora.adapted_maps(adapted)), unfit=unfit, idle=idle, losses=shown, fault=fault)


def _adapters(targets: Literal["all-linear"] | tuple[str, ...]) -> Lora:
    return Lora(rank=2, alpha=4.0, targets=targets)


def _unfit(directory: Path, names: Sequence[str]) -> dict[str, str]:
    """The ends of the names of maps that can have no adapter, each with why."""
    found: dict[str, str] = {}
    for end in sorted({maps.within_block(name) for name in names}):
        try:
            lora.adapt(load(directory)[0], _adapters((end,)), 0)
        except ValueError as error:
            found[end] = str(error)
    return found


def _losses(model: PeftModel, tokenizer: PreTrainedTokenizerBase, progress: Progress) -> list[float]:
    """The loss before and after a training step, in nats per token: the largest step that lowers it."""
    limits = ends(cast("PreTrainedModel", model.get_base_model()), tokenizer)
    prompts, answers = zip(*ROWS, strict=True)
    rows = chat.examples(tokenizer, limits.eos, [str(n) for n in range(len(ROWS))], prompts, answers)
    fresh = {name: weight.detach().clone() for name, weight in lora.trainable(model).items()}
    losses: list[float] = []
    for rate in RATES:
        with torch.no_grad():
            for name, weight in lora.trainable(model).items():
                weight.copy_(fresh[name])
        recipe = Finetune(epochs=2, batch=len(rows), learning_rate=rate)  # each epoch is a step on all rows
        losses = finetune(model, rows, recipe, 0, limits.pad, progress)["loss"].to_list()
        if losses[1] < losses[0]:
            break
    return losses


def _moved(model: PeftModel) -> set[str]:
    """Names of the maps whose adapters have learned something: their B began as zeros."""
    modules: dict[str, Any] = dict(cast("Any", model.get_base_model()).named_modules())
    return {name for name in lora.adapted_maps(model) if modules[name].lora_B["default"].weight.any()}


def _brief(number: float) -> float:
    """Three digits: the last bits of a number differ from machine to machine."""
    return float(f"{number:.3g}")
