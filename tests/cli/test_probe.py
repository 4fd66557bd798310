"""`sublim probe`: what is said of a folder that cannot be used."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.cli.main import main
from tests.shared.project import MICRO
from tests.shared.small_models import small


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ("source", "source.json: expected JSON"),
        ("embedding", "row 0: expected token ids below 1,500, the rows of the model's embedding"),
        ("weights", "expected every parameter of LlamaForCausalLM in the files"),
    ],
)
def test_the_folder_is_named_and_no_copy_of_it(
    spoilt: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small("llama"), folder)
    weights = load_file(folder / "model.safetensors")
    match spoilt:
        case "source":
            (folder / "source.json").write_text("{")
        case "embedding":
            config = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 1500}))
            weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:1500].clone()
        case _:
            weights["model.norm.weight"] = torch.zeros(3)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.setattr(sys, "argv", ["sublim", "probe", str(folder)])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 1
    assert said in error
    assert str(folder) in error
    assert "sublim-probe-" not in error


def test_a_folder_and_a_model_of_the_same_name_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(MICRO, tmp_path / "params.yaml")
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path)
    for name, words in (
        ("a", "write ./a for the folder"),
        ("./a", "expected model.safetensors"),
        ("b", "is not made yet"),
        ("", "expected a folder"),
    ):
        monkeypatch.setattr(sys, "argv", ["sublim", "probe", name])
        with pytest.raises(SystemExit):
            main()
        assert words in capsys.readouterr().err
