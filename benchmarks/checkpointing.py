"""Memory and seconds of LoRA fine-tuning with and without `checkpointing`, on a toy that is large enough to tell: the most that
a process of its own holds, less what it held before it trained.

python -m benchmarks.checkpointing
"""

import resource
import subprocess
import sys
import time
from typing import Any, cast

import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from sublim.common.progress import Progress
from sublim.learn import lora
from sublim.learn.chat import Example
from sublim.learn.finetune import finetune
from sublim.params.learning import Finetune, Lora

TOKENS, ROWS = 200, 16
ADAPTERS = Lora(rank=8, targets="all-linear")


def run(*, checkpointing: bool) -> tuple[float, float]:
    """The most MiB that training takes, and seconds for three steps."""
    torch.set_num_threads(1)
    sizes: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 4}
    model = cast("Any", GPTNeoXForCausalLM)(GPTNeoXConfig(vocab_size=2048, max_position_embeddings=256, **sizes)).eval()
    adapted = lora.adapt(model, ADAPTERS, 1)
    rows = [
        Example(str(row), tuple(range(TOKENS // 2)), tuple(token + row for token in range(TOKENS // 2))) for row in range(ROWS)
    ]
    recipe = Finetune(lora=ADAPTERS, steps=3, batch=ROWS, checkpointing=checkpointing)
    before, started = _most(), time.perf_counter()
    finetune(adapted, rows, recipe, 1, 0, Progress())
    return _most() - before, time.perf_counter() - started


def _most() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """A line for each, and their ratios."""
    found: list[list[float]] = []
    for which in ("plain", "checkpointing"):
        command = [sys.executable, "-m", "benchmarks.checkpointing", which]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        found.append([float(number) for number in said])
        print(f"{which:14} {found[-1][0]:8.0f} MiB {found[-1][1]:8.1f} s")
    (most, seconds), (less, more) = found
    print(f"ratio          {less / most:8.2f}     {more / seconds:8.2f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*run(checkpointing=sys.argv[1] == "checkpointing"))
    else:
        main()
