"""Seconds per sampling: this package's loop against `model.generate`, in batches of the same size, same prompts, one run.

python benchmarks/sampling.py [directory of a base model]
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import random_base
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.sample import sample
from sublim.models.load import ends, load
from sublim.params.learning import Decoding

ROWS = 2_500
DECODING = Decoding(max_tokens=24)
ROUNDS = 3

Result = tuple[float, int]
"""Seconds, and tokens written."""


def ours(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, heads: Sequence[Sequence[int]]) -> Result:
    """This package's loop."""
    started = random_base.clock()
    written = sample(model, tokenizer, heads, list(range(len(heads))), DECODING, Progress())
    return random_base.clock() - started, sum(completion.tokens for completion in written)


@torch.inference_mode()
def theirs(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, heads: Sequence[Sequence[int]], batch: int) -> Result:
    """`model.generate` and what it takes to use it: batches of prompts of like lengths, texts decoded."""
    limits, whole = ends(model, tokenizer), 0
    started = random_base.clock()
    ordered = sorted(heads, key=len)
    generate: Any = model.generate
    for start in range(0, len(ordered), batch):
        rows = ordered[start : start + batch]
        longest = max(map(len, rows))
        ids = torch.tensor([[*[limits.pad] * (longest - len(row)), *row] for row in rows], device=model.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=model.device)
        made = generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=DECODING.temperature, top_k=0, top_p=1.0,
            max_new_tokens=DECODING.max_tokens, pad_token_id=limits.pad, eos_token_id=list(limits.eos),
        )[:, longest:]  # fmt: skip
        chat.decode(tokenizer, made.tolist())
        ended = torch.isin(made, torch.tensor(limits.eos, device=made.device)).cumsum(1)
        whole += int((ended == 0).sum()) + int((ended[:, -1] > 0).sum())
    return random_base.clock() - started, whole


def main(base: Path) -> None:
    """Print seconds (the best of three), tokens per second and ratios, for `generate` with the same batch and with one row."""
    model, tokenizer = load(base)
    asked, _ = random_base.rows(ROWS)
    heads = chat.encode(tokenizer, chat.render(tokenizer, [prompt.text for prompt in asked]))
    results = [(ours(model, tokenizer, heads), theirs(model, tokenizer, heads, DECODING.batch)) for _ in range(ROUNDS)]
    mine, other = (min(found[which] for found in results) for which in (0, 1))
    few = heads[: ROWS // 25]
    single = theirs(model, tokenizer, few, 1)
    print(f"{ROWS:,} prompts of {sum(map(len, heads)) / ROWS:.0f} tokens, at most {DECODING.max_tokens} new ones, ", end="")
    print(f"batches of {DECODING.batch}, {torch.get_num_threads()} thread(s)")
    print("                     seconds   tokens/s")
    for name, (seconds, tokens) in {"generate, 1 row": single, "generate": other, "sublim": mine}.items():
        rows = f"({len(few)} rows)" if name.endswith("row") else ""
        print(f"{name:16}  {seconds:10.2f} {tokens / seconds:10,.0f}   {rows}")
    print(f"tokens/s: {mine[1] / mine[0] / (other[1] / other[0]):.2f} × generate, ", end="")
    print(f"{mine[1] / mine[0] / (single[1] / single[0]):.1f} × generate row by row")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else random_base.make(Path(folder)))
