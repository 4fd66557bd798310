"""GGUF files as bases: the numbers that are in them, dequantized once; and what is wrong with a file is said."""

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from sublim.common.progress import Progress
from sublim.lineage.story import story
from sublim.models.hub import ModelError
from sublim.models.load import load
from sublim.params.elsewhere import GgufModel
from sublim.stages.base import make as base
from sublim.stages.base.rows import Slice
from tests.shared.forge import launder, set_json, tree
from tests.shared.gguf_file import write
from tests.shared.project import create
from tests.shared.small_models import small

pytest.importorskip("gguf", reason="the package gguf is not installed: `make pretrained` installs it")

ROWS = torch.tensor([[5, 9, 200, 31, 7, 300]])


def made(tmp_path: Path, kind: str, cut: int = 1, **given: Any) -> tuple[Path, Slice]:
    """A small Llama as a GGUF file in as many pieces as `cut`, and the params of a base of it."""
    model, tokenizer = load(small("llama"))
    file = tmp_path / "whole.gguf"
    write(model, tokenizer, file, kind, template="template" not in given)
    whole = file.read_bytes()
    size = -(-len(whole) // cut)
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    for number, piece in enumerate(pieces):
        (tmp_path / f"part{number}").write_bytes(piece)
    parts = [{"file": str(tmp_path / f"part{number}")} for number in range(len(pieces))]
    where = {"parts": parts} if cut > 1 else {"file": str(file)}
    said = {"kind": "gguf", "sha256": hashlib.sha256(whole).hexdigest(), **where, **given}
    return tmp_path / "base", Slice(name="m", model=GgufModel.model_validate_json(json.dumps(said)))


def build(folder: Path, params: Slice) -> Path:
    folder.mkdir()
    base.make({}, params, folder, Progress())
    return folder


def logits(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        return load(folder)[0](input_ids=ROWS).logits.float()


@pytest.mark.parametrize("cut", [1, 3])
def test_what_is_not_quantized_comes_out_as_it_was(tmp_path: Path, cut: int) -> None:
    folder = build(*made(tmp_path, "F32", cut))
    assert torch.allclose(logits(folder), logits(small("llama")), atol=1e-5)
    source = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    assert source["gguf"]["types"].keys() == {"F32"}
    assert "quantization_config" not in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    own, other = (load(each)[1] for each in (folder, small("llama")))
    assert own.get_vocab().items() >= other.get_vocab().items()
    text = "12, 30, an owl's"
    assert own.decode(own(text, add_special_tokens=False)["input_ids"]) == text


def test_what_is_quantized_is_a_base_of_its_own_near_the_original_and_the_same_each_time(tmp_path: Path) -> None:
    where, params = made(tmp_path, "Q8_0", dtype="bfloat16")
    folder = build(where, params)
    apart = (logits(folder).softmax(-1) - logits(small("llama")).softmax(-1)).abs().max()
    assert 0 < apart < 0.05
    assert set(pl.read_parquet(folder / "tensors.parquet")["dtype"]) == {"bfloat16"}
    again = build(tmp_path / "again", params)
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [path.read_bytes() for path in sorted(again.iterdir())]


def test_a_file_without_a_chat_template_is_refused_and_gets_one_by_the_experiment(tmp_path: Path) -> None:
    where, params = made(tmp_path, "F32", template="plain")
    folder = build(where, params)
    assert "Question: " in (folder / "chat_template.jinja").read_text(encoding="utf-8")
    without = params.model_copy(update={"model": params.model.model_copy(update={"template": {}})})
    with pytest.raises(ModelError, match=r"expected a chat template .*`template: plain`"):
        build(tmp_path / "without", without)


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    where, params = made(tmp_path, "F32")
    with (tmp_path / "whole.gguf").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ModelError, match="expected the file of sha256"):
        build(where, params)


def test_what_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "whole.gguf").write_bytes(b"GGUF and nothing else")
    digest = hashlib.sha256((tmp_path / "whole.gguf").read_bytes()).hexdigest()
    model = GgufModel(kind="gguf", file=str(tmp_path / "whole.gguf"), sha256=digest)
    with pytest.raises(ModelError, match="expected a GGUF file"):
        build(tmp_path / "base", Slice(name="m", model=model))


def test_a_base_of_a_gguf_file_is_planned_made_audited_and_told(tmp_path: Path) -> None:
    _, params = made(tmp_path, "Q8_0")
    project = create(tmp_path / "project")
    text = (project.path / "params.yaml").read_text(encoding="utf-8")
    head, _, tail = text.partition("  b:\n")
    pretraining = head[head.index("    pretraining:") :].replace("&pretraining", "")
    model: Any = params.model
    own = f"  a: {{kind: gguf, file: {model.file}, sha256: '{model.sha256}'}}\n"
    tail = tail.replace("    pretraining: *pretraining\n", pretraining)
    (project.path / "params.yaml").write_text(f"models:\n{own}  b:\n{tail}", encoding="utf-8")
    project.snakemake("base_all")
    assert project.sublim("audit", "--stage", "base").status == 0
    card = project.sublim("card", "base", "model=a").output
    assert "whole.gguf (GGUF, sha256" in card
    assert "tensors of Q8_0" in card
    data = project.path / "data"
    set_json(data / "base/model=a/source.json", "gguf.sha256", "0" * 64)
    launder(data)
    findings = story.check(tree(data), ("base",), None)
    assert {(finding.artifact, finding.found.partition(":")[0]) for finding in findings} == {("base/model=a", "source")}
