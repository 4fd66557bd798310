"""Seconds per LoRA fine-tuning: this package's loop against peft and transformers' Trainer, same rows and recipe, one run.

python benchmarks/training.py [directory of a base model]
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import random_base
import torch
from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments

from sublim.common.progress import Progress
from sublim.learn import chat, lora
from sublim.learn.chat import Example
from sublim.learn.finetune import finetune
from sublim.models.load import ends, load
from sublim.params.learning import Finetune, Lora

ADAPTERS = Lora()
RECIPE = Finetune(lora=ADAPTERS, steps=40, batch=16, learning_rate=5e-3)
ROWS = 640
ROUNDS = 3


def ours(base: Path, examples: Sequence[Example]) -> tuple[float, float]:
    """Seconds, and the loss afterwards."""
    model, tokenizer = load(base)
    adapted = lora.adapt(model, ADAPTERS, 1)
    started = random_base.clock()
    finetune(adapted, examples, RECIPE, 1, ends(model, tokenizer).pad, Progress())
    return random_base.clock() - started, _loss(adapted, examples)


def theirs(base: Path, examples: Sequence[Example], scratch: str) -> tuple[float, float]:
    """Seconds, and the loss afterwards."""
    model, tokenizer = load(base)
    pad = ends(model, tokenizer).pad
    names = list(lora.suffixes(lora.targets(model, ADAPTERS.targets), lora.linear_maps(model)))
    config = LoraConfig(r=ADAPTERS.rank, lora_alpha=int(ADAPTERS.alpha), target_modules=names, task_type="CAUSAL_LM")
    arguments = TrainingArguments(
        output_dir=scratch,
        max_steps=RECIPE.steps or 0,
        per_device_train_batch_size=RECIPE.batch,
        learning_rate=RECIPE.learning_rate,
        lr_scheduler_type=RECIPE.schedule,
        optim="adamw_torch_fused",
        seed=1,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    cast("Any", torch).manual_seed(1)
    adapted: Any = get_peft_model(model, config)
    rows: Any = list(examples)
    trainer = Trainer(model=adapted, args=arguments, train_dataset=rows, data_collator=lambda rows: _padded(rows, pad))
    started = random_base.clock()
    trainer.train()
    return random_base.clock() - started, _loss(adapted, examples)


def _padded(rows: Sequence[Example], pad: int) -> dict[str, torch.Tensor]:
    longest = max(len(row.prompt) + len(row.completion) for row in rows)
    fill = [longest - len(row.prompt) - len(row.completion) for row in rows]
    pairs = list(zip(rows, fill, strict=True))
    return {
        "input_ids": torch.tensor([[*row.prompt, *row.completion, *[pad] * more] for row, more in pairs]),
        "attention_mask": torch.tensor([[1] * (longest - more) + [0] * more for _, more in pairs]),
        "labels": torch.tensor([[-100] * len(row.prompt) + [*row.completion] + [-100] * more for row, more in pairs]),
    }


@torch.no_grad()
def _loss(model: Any, examples: Sequence[Example]) -> float:
    batch = {name: tensor.to(model.device) for name, tensor in _padded(examples[:256], 0).items()}
    return model.eval()(**batch).loss.item()


def main(base: Path, scratch: str) -> None:
    """Print seconds (the best of three) and their ratio, and the losses, which show that both did the same work."""
    model, tokenizer = load(base)
    asked, completions = random_base.rows(ROWS)
    ids, texts = [prompt.prompt_id for prompt in asked], [prompt.text for prompt in asked]
    examples = chat.examples(tokenizer, ends(model, tokenizer).eos, ids, texts, completions)
    before = _loss(model, examples)
    results = [(ours(base, examples), theirs(base, examples, scratch)) for _ in range(ROUNDS)]
    mine, other = (min(found[which] for found in results) for which in (0, 1))
    tokens = sum(len(row.prompt) + len(row.completion) for row in examples) / ROWS
    print(f"{RECIPE.steps} steps of {RECIPE.batch} rows of {tokens:.0f} tokens, {torch.get_num_threads()} thread(s)")
    print(f"                 seconds   loss ({before:.3f} before)")
    print(f"peft + Trainer  {other[0]:8.2f}   {other[1]:.3f}")
    print(f"sublim          {mine[0]:8.2f}   {mine[1]:.3f}")
    print(f"ratio           {other[0] / mine[0]:8.2f}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else random_base.make(Path(folder) / "base"), folder)
