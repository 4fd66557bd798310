"""What the benchmarks of training and sampling run on: a base with random weights, and number rows for it."""

import random
import time
from pathlib import Path
from typing import Any, cast

import torch
from transformers import GenerationConfig

from sublim.carriers.numbers import Numbers
from sublim.carriers.prompts import Prompt, prompts
from sublim.models import tiny
from sublim.models.corpus import corpus, texts
from sublim.models.tokenizer import END, PAD, train, wrap
from sublim.params.tiny import Pretraining, TinyModel


def make(directory: Path) -> Path:
    """Write a base of the default experiment's size to `directory`, not trained: a step costs the same with any weights."""
    config = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    params = TinyModel(kind="tiny", architecture="gpt_neox", seed=1, config=config)
    tokenizer = train(texts(corpus(Pretraining(rows=2_000))), params.pretraining.vocabulary)
    model = tiny.initial(params, tokenizer)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.token_to_id(END), pad_token_id=tokenizer.token_to_id(PAD))
    cast("Any", model).save_pretrained(directory)
    cast("Any", wrap(tokenizer, params.context)).save_pretrained(directory)
    return directory


def rows(count: int) -> tuple[list[Prompt], list[str]]:
    """Number prompts, and completions such as a teacher's that are kept."""
    rng = random.Random(0)  # noqa: S311
    asked = prompts(count, Numbers())
    return asked, [prompt.format.write([rng.randint(0, 999) for _ in range(rng.randint(3, 10))]) for prompt in asked]


def clock() -> float:
    """CPU seconds of this process: other work on the machine does not count. With a GPU, wall-clock seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()
