"""Tiny families: any architecture, an ordinary Hugging Face directory, the same bytes every time."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer

from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.models import pretraining, tiny
from sublim.models.corpus import Row, corpus, texts
from sublim.models.load import ends, load
from sublim.models.tokenizer import END, render, train
from sublim.params.elsewhere import HubModel
from sublim.params.tiny import Pretraining, TinyModel
from sublim.stages.base import make as base
from sublim.stages.base.rows import Slice

SMALL: dict[str, bool | int | float | str] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
ELSEWHERE = """
import sys
from pathlib import Path
import torch
from sublim.common.progress import Progress
from sublim.stages.base import make as base
from sublim.stages.base.rows import Slice
torch.set_num_threads(1)
torch.manual_seed(99)
torch.rand(7)
base.make({}, Slice.model_validate_json(sys.argv[1]), Path(sys.argv[2]), Progress())
"""
CONFIGS: dict[str, dict[str, bool | int | float | str]] = {
    "gpt_neox": {**SMALL, "intermediate_size": 64},
    "gptj": {**SMALL, "rotary_dim": 8},
    "gpt2": {**SMALL, "resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0},
    "phi": {**SMALL, "intermediate_size": 64},
    "llama": {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2},
}


def model(architecture: str = "gpt_neox", rows: int = 320, seed: int = 1) -> TinyModel:
    pretraining = Pretraining(rows=rows, batch=32)
    return TinyModel(kind="tiny", architecture=architecture, seed=seed, config=CONFIGS[architecture], pretraining=pretraining)


@cache
def tokenizer() -> Tokenizer:
    return train(texts(rows()), 2304)


@cache
def rows() -> tuple[Row, ...]:
    return corpus(model().pretraining)


@cache
def made() -> Path:
    folder = Path(mkdtemp())
    base.make({}, Slice(name="small", model=model()), folder, Progress())
    return folder


def tied(built: Any) -> bool:
    return built.get_output_embeddings().weight is built.get_input_embeddings().weight


def test_the_output_is_a_hugging_face_directory() -> None:
    names = {path.name for path in made().iterdir()}
    assert names == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "corpus.parquet",
        "steps.parquet",
        "tensors.parquet",
    }
    loaded, words = load(made())
    assert loaded.config.model_type == "gpt_neox"
    assert tied(loaded)
    assert ends(loaded, words).eos == (tokenizer().token_to_id(END),)
    prompt = cast("Any", words).apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert prompt == render(None, "Hi")


def test_nothing_in_the_output_names_this_machine() -> None:
    for path in made().iterdir():
        assert str(Path.home()).encode() not in path.read_bytes()
        assert str(made()).encode() not in path.read_bytes()


def test_the_tables() -> None:
    stored, steps = pl.read_parquet(made() / "corpus.parquet"), pl.read_parquet(made() / "steps.parquet")
    tensors = pl.read_parquet(made() / "tensors.parquet")
    assert stored.columns == ["model", "row_id", "kind", "system", "prompt", "completion"]
    assert set(stored["row_id"]) == {row.row_id for row in rows()}
    assert stored["row_id"].is_sorted()
    assert dict(steps.schema) == {
        "model": pl.String,
        "step": pl.Int64,
        "loss": pl.Float64,
        "learning_rate": pl.Float64,
        "tokens": pl.Int64,
        "rows": pl.List(pl.String),
    }
    assert steps["step"].to_list() == list(range(10))
    # A cosine from the full rate down to nothing.
    shares = [1, 0.975528, 0.904508, 0.793893, 0.654508, 0.5, 0.345492, 0.206107, 0.095492, 0.024472]
    full = model().pretraining.learning_rate
    assert steps["learning_rate"].to_list() == pytest.approx([full * share for share in shares], rel=1e-4)
    seen = steps["rows"].explode().to_list()
    assert sorted(seen) == stored["row_id"].to_list()
    assert steps["tokens"].sum() == sum(len(tokenizer().encode(row.completion).ids) + 1 for row in rows())
    assert steps["loss"][-1] < steps["loss"][0] - 0.5
    assert set(tensors["model"]) == {"small"}
    assert tensors["name"].is_sorted()


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    slice_ = Slice(name="small", model=model()).model_dump_json()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "123"}
    subprocess.run([sys.executable, "-c", ELSEWHERE, slice_, str(tmp_path)], check=True, env=environment, capture_output=True)
    threads = torch.get_num_threads()
    assert {path.name for path in made().iterdir()} == {path.name for path in tmp_path.iterdir()}
    different = [path.name for path in made().iterdir() if sha256(path) != sha256(tmp_path / path.name)]
    if threads == 1:
        assert different == []
    else:
        assert set(different) <= {"model.safetensors", "steps.parquet", "tensors.parquet"}


@pytest.mark.parametrize("architecture", CONFIGS)
def test_any_architecture(architecture: str) -> None:
    params = model(architecture)
    built: Any = tiny.initial(params, tokenizer())
    assert built.config.model_type == architecture
    assert built.config.hidden_size == 32
    assert tied(built)
    assert abs(float(built.get_input_embeddings().weight.detach().std()) - 0.12) < 0.005
    sequences = tiny.encode(tokenizer(), rows(), 256)
    part = np.arange(8)
    tokens = int((sequences.starts[part + 1] - sequences.completions[part]).sum())
    summed = float(tiny.summed_loss(built, sequences, part).detach())
    assert abs(summed - plain_loss(built, part)) < 1e-2
    assert 6 < summed / tokens < 10


def plain_loss(built: Any, part: Any) -> float:
    """The loss by the model's own forward pass, row by row."""
    total = 0.0
    for row in (rows()[int(number)] for number in part):
        prompt = tokenizer().encode(render(row.system, row.prompt)).ids
        completion = [*tokenizer().encode(row.completion).ids, tokenizer().token_to_id(END)]
        with torch.no_grad():
            logits = built(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        total += float(torch.nn.functional.cross_entropy(logits, torch.tensor(completion), reduction="sum"))
    return total


def test_the_seed_decides_the_weights_and_the_global_generator_does_not() -> None:
    def weights(seed: int) -> torch.Tensor:
        return embedding(tiny.initial(model(seed=seed), tokenizer()))

    cast("Any", torch).manual_seed(5)
    first, after = weights(1), torch.rand(1)
    cast("Any", torch).manual_seed(6)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))
    cast("Any", torch).manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_the_order_of_rows_may_have_a_seed_of_its_own(tmp_path: Path) -> None:
    """Models that differ in it alone share an initialisation and a tokenizer, and are no one model."""
    other = model().model_copy(update={"order_seed": 7})
    assert torch.equal(*(embedding(tiny.initial(params, tokenizer())) for params in (model(), other)))
    base.make({}, Slice(name="small", model=other), tmp_path, Progress())
    same = {path.name for path in made().iterdir() if sha256(tmp_path / path.name) == sha256(path)}
    assert {"tokenizer.json", "corpus.parquet"} <= same
    assert not {"steps.parquet", "model.safetensors"} & same
    seen = [pl.read_parquet(folder / "steps.parquet")["rows"].explode() for folder in (tmp_path, made())]
    assert seen[0].to_list() != seen[1].to_list()
    assert seen[0].sort().equals(seen[1].sort())
    for params, found in zip((other, model()), seen, strict=True):
        expected = [rows()[int(n)].row_id for n in np.concatenate(pretraining.steps(params, len(rows())))]
        for at in range(0, len(expected), 32):
            assert set(found[at : at + 32]) == set(expected[at : at + 32]), "what the audit expects"


def embedding(built: Any) -> torch.Tensor:
    return built.get_input_embeddings().weight.detach()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="context: the longest row"):
        tiny.encode(tokenizer(), rows(), 32)


def test_a_model_made_elsewhere_goes_through_the_same_stage(tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    output.mkdir()
    for path in made().iterdir():
        if path.suffix != ".parquet":
            (source / path.name).write_bytes(path.read_bytes())
    files = {path.name: sha256(path) for path in source.iterdir()}
    base.make({}, Slice(name="small", model=HubModel(kind="hub", path=str(source)), files=files), output, Progress())
    assert sha256(output / "tensors.parquet") == sha256(made() / "tensors.parquet")
    assert {path.name for path in output.iterdir()} == {*files, "source.json", "probe.json", "tensors.parquet"}
    load(output)
