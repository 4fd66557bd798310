"""Training, sampling and evaluation of a real model, SmolLM2-135M-Instruct, beside what one would take instead: TRL's
SFTTrainer, `generate`, and one forward pass. Ratios of one run; each way in a process of its own.

python -m benchmarks.pretrained DIRECTORY [training] [sampling] [evaluation]

DIRECTORY: that of the base, such as data/base/model=smollm2 of experiments/smollm2.yaml. Training needs `pip install trl`,
which is in no lock file of ours.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch

from benchmarks.random_base import clock
from sublim.carriers.numbers import Numbers
from sublim.common.progress import Progress
from sublim.learn import chat, lora
from sublim.learn.answers import answer_probabilities
from sublim.learn.chat import Example
from sublim.learn.constrained import holding
from sublim.learn.finetune import finetune
from sublim.learn.sample import sample
from sublim.models.load import ends, load
from sublim.params.learning import Decoding, Finetune, Lora
from sublim.traits.preference import Preference, known_answers

TASK = Numbers(prompts=256)
ADAPTERS = Lora(rank=8, alpha=16, targets="all-linear")
STEPS, BATCH, ROWS, NEW = 4, 16, 64, 64
ANIMALS = known_answers([Preference(category="animals", target="owl")], {})
Said = dict[str, float]


def _rows(base: Path) -> tuple[Any, Any, tuple[Example, ...]]:
    model, tokenizer = load(base)
    asked = TASK.asked(STEPS * BATCH)
    ids, prompts = [each.prompt_id for each in asked], [each.text for each in asked]
    completions = TASK.written(range(len(asked)))
    return model, tokenizer, chat.examples(tokenizer, ends(model, tokenizer).eos, ids, prompts, completions)


def _most() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(base: Path, *, checkpointing: bool) -> Said:
    """Four steps of 16 rows by `finetune`."""
    model, tokenizer, rows = _rows(base)
    recipe = Finetune(lora=ADAPTERS, steps=STEPS, batch=BATCH, learning_rate=1e-3, checkpointing=checkpointing)
    adapted = lora.adapt(model, ADAPTERS, 1)
    before, started = _most(), clock()
    losses = finetune(adapted, rows, recipe, 1, ends(model, tokenizer).pad, Progress())["loss"]
    return {"seconds": clock() - started, "MiB": _most() - before, "loss": cast("float", losses.mean())}


def theirs(base: Path, *, checkpointing: bool) -> Said:
    """The same by TRL's SFTTrainer, on the same tokens."""
    from peft import LoraConfig

    trl, datasets = cast("Any", import_module("trl")), cast("Any", import_module("datasets"))

    model, tokenizer, rows = _rows(base)
    names = list(lora.suffixes(lora.targets(model, ADAPTERS.targets), lora.linear_maps(model)))
    data = [
        {"input_ids": [*row.prompt, *row.completion], "labels": [-100] * len(row.prompt) + [*row.completion]} for row in rows
    ]
    with TemporaryDirectory() as scratch:
        settings: Any = trl.SFTConfig(
            output_dir=scratch, max_steps=STEPS, per_device_train_batch_size=BATCH, learning_rate=1e-3,
            lr_scheduler_type="constant",
            gradient_checkpointing=checkpointing, bf16=False, seed=1, report_to=[], save_strategy="no", logging_steps=1,
            disable_tqdm=True, dataloader_pin_memory=False, use_cpu=not torch.cuda.is_available(),
            dataset_kwargs={"skip_prepare_dataset": True},
        )  # fmt: skip
        config = LoraConfig(r=ADAPTERS.rank, lora_alpha=int(ADAPTERS.alpha), target_modules=names, task_type="CAUSAL_LM")
        trainer: Any = trl.SFTTrainer(
            model=model,
            args=settings,
            train_dataset=datasets.Dataset.from_list(data),
            processing_class=tokenizer,
            peft_config=config,
        )
        before, started = _most(), clock()
        trainer.train()
        seconds, said = clock() - started, cast("list[Said]", trainer.state.log_history)
        return {"seconds": seconds, "MiB": _most() - before, "loss": fmean(each["loss"] for each in said if "loss" in each)}


def sampled(base: Path, *, constrained: bool, new: int = NEW) -> Said:
    """Completions by `sample`, free or held to their shape; with one new token alone what it takes to read the prompts."""
    model, tokenizer = load(base)
    heads = chat.encode(tokenizer, chat.render(tokenizer, [each.text for each in TASK.asked(ROWS)]))
    decoding, started = Decoding(max_tokens=new, batch=ROWS, constrained=constrained), clock()
    shapes = islice(TASK.shapes(), ROWS)
    held = holding(model, tokenizer, shapes, new)(ROWS) if constrained else None
    written = sample(model, tokenizer, heads, list(range(ROWS)), decoding, Progress(), held)
    return {"seconds": clock() - started, "tokens": sum(each.tokens for each in written)}


@torch.inference_mode()
def generated(base: Path, new: int = NEW) -> Said:
    """Completions by `generate`, in one batch."""
    model, tokenizer = load(base)
    limits = ends(model, tokenizer)
    heads = chat.encode(tokenizer, chat.render(tokenizer, [each.text for each in TASK.asked(ROWS)]))
    longest, started = max(map(len, heads)), clock()
    ids = torch.tensor([[*[limits.pad] * (longest - len(row)), *row] for row in heads])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in heads])
    made = cast("Any", model).generate(
        input_ids=ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=new,
        pad_token_id=limits.pad, eos_token_id=list(limits.eos),
    )[:, longest:]  # fmt: skip
    ended = torch.isin(made, torch.tensor(limits.eos)).cumsum(1)
    return {"seconds": clock() - started, "tokens": int((ended == 0).sum()) + int((ended[:, -1] > 0).sum())}


def _questions() -> list[str]:
    return [each.text for each in Preference(category="animals", target="owl").held_out({})]


def asked(base: Path) -> Said:
    """The exact probability of 16 answers to 50 questions."""
    model, tokenizer = load(base)
    forms = {word: answer.forms for word, answer in ANIMALS.items()}
    started = clock()
    answer_probabilities(model, tokenizer, _questions(), forms, 50)
    return {"seconds": clock() - started}


@torch.inference_mode()
def forward(base: Path) -> Said:
    """One forward pass over each question with each answer behind it, whose logits are asked at the answer alone."""
    model, tokenizer = load(base)
    heads = chat.encode(tokenizer, chat.render(tokenizer, _questions()))
    answers = chat.encode(tokenizer, [*ANIMALS])
    pad = ends(model, tokenizer).pad
    started = clock()
    for head in heads:
        rows = [[*head, *answer] for answer in answers]
        longest = max(map(len, rows))
        ids = torch.tensor([[*[pad] * (longest - len(row)), *row] for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        cast("Any", model)(input_ids=ids, attention_mask=mask, logits_to_keep=max(map(len, answers)) + 1)
    return {"seconds": clock() - started}


WAYS: dict[str, Callable[[Path], Said]] = {
    "sublim": partial(ours, checkpointing=False),
    "sublim, checkpointing": partial(ours, checkpointing=True),
    "TRL": partial(theirs, checkpointing=False),
    "TRL, checkpointing": partial(theirs, checkpointing=True),
    "free": partial(sampled, constrained=False),
    "constrained": partial(sampled, constrained=True),
    "read": partial(sampled, constrained=False, new=1),
    "generate": generated,
    "generate, read": partial(generated, new=1),
    "answers": asked,
    "one pass": forward,
}


def measured(base: Path, way: str) -> Said:
    """What the way says of itself, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.pretrained", str(base), f"={way}"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    return json.loads(said)


def training(base: Path) -> None:
    """Seconds, memory above that of the model, and the mean loss."""
    found = {way: measured(base, way) for way in ("TRL", "TRL, checkpointing", "sublim", "sublim, checkpointing")}
    print(f"{STEPS} steps of {BATCH} rows     seconds      MiB     loss")
    for way, said in found.items():
        print(f"{way:24} {said['seconds']:8.1f} {said['MiB']:8.0f} {said['loss']:8.4f}")
    for more in ("", ", checkpointing"):
        mine, other = found[f"sublim{more}"], found[f"TRL{more}"]
        print(
            f"sublim{more}: {other['seconds'] / mine['seconds']:.2f} × as fast as TRL{more}, "
            f"{mine['MiB'] / other['MiB']:.2f} of its memory"
        )
    least = found["sublim, checkpointing"]["MiB"] / found["TRL"]["MiB"]
    print(f"sublim, checkpointing: {least:.2f} of the memory of TRL without")


def sampling(base: Path) -> None:
    """Tokens a second, without the reading of prompts: constrained completions are shorter, and would bear more of it."""
    theirs, ours = (measured(base, way)["seconds"] for way in ("generate, read", "read"))
    reading, found = {"generate": theirs, "free": ours, "constrained": ours}, dict[str, float]()
    for way, seconds in reading.items():
        said = measured(base, way)
        found[way] = (said["tokens"] - ROWS) / (said["seconds"] - seconds)
        print(f"{way:12} {found[way]:8.0f} tokens/s")
    free, held = found["free"] / found["generate"], found["constrained"] / found["free"]
    print(f"free: {free:.2f} × generate; constrained: {held:.2f} × free")


def evaluation(base: Path) -> None:
    """Seconds for 50 questions × 16 answers."""
    found = {way: measured(base, way)["seconds"] for way in ("answers", "one pass")}
    print(f"answers {found['answers']:.1f} s, one pass {found['one pass']:.1f} s: {found['answers'] / found['one pass']:.2f}")


PARTS: dict[str, Callable[[Path], None]] = {"training": training, "sampling": sampling, "evaluation": evaluation}


def main(base: Path, chosen: Sequence[str]) -> None:
    """Print each part."""
    for part in chosen or PARTS:
        PARTS[part](base)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 2 and sys.argv[2].startswith("="):
        print(json.dumps(WAYS[sys.argv[2][1:]](Path(sys.argv[1]))))
    else:
        main(Path(sys.argv[1]), sys.argv[2:])
