"""Models that could run code or lead out of their folder: refused before any job, by every tool."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.shared.forge import launder, set_json
from tests.shared.project import Project


def _add(folder: Path, key: str, value: object, name: str = "config.json") -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))


def _pickled_instead(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _pickled_below(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "weights.pkl").write_bytes(b"\x80\x04.")


def _linked_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "weights.safetensors")
    (folder / "model.safetensors").symlink_to("../weights.safetensors")


def _index(name: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder.parent / "weights.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))

    return spoil


def _pipe(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickled weights beside safetensors": (lambda folder: (folder / "a.bin").touch(), "can run code when it is read"),
    "pickled weights only": (_pickled_instead, "can run code when it is read"),
    "a pickle in a folder below": (_pickled_below, "can run code when it is read"),
    "the model's own code": (lambda folder: _add(folder, "auto_map", {"AutoModel": "x.X"}), "auto_map"),
    "the tokenizer's own code": (lambda folder: _add(folder, "auto_map", {}, "tokenizer_config.json"), "auto_map"),
    "weights linked from outside": (_linked_weights, "leads out of the folder"),
    "a traversal in the index": (_index("../weights.safetensors"), "may lead out"),
    "a traversal through a folder": (_index("x/../../weights.safetensors"), "may lead out"),
    "an absolute path in the index": (_index("/etc/passwd"), "may lead out"),
    "a pipe for weights": (_pipe, "expected a file"),
}


@pytest.fixture(scope="module")
def with_folder(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro experiment with a model from a folder, nothing of it computed."""
    project = finished.copy(tmp_path_factory.mktemp("models") / "project")
    shutil.copytree(project.path / "data/base/model=a", project.path / "mine")
    for extra in ("record.json", "corpus.parquet", "steps.parquet", "tensors.parquet"):
        (project.path / "mine" / extra).unlink()
    yaml, path = YAML(typ="safe", pure=True), project.path / "params.yaml"
    params = yaml.load(path)
    params["models"]["a"] = {"kind": "hub", "path": "mine"}
    yaml.dump(params, path)
    return project


@pytest.mark.parametrize("what", REFUSED)
def test_refused_before_any_job(with_folder: Project, tmp_path: Path, what: str) -> None:
    spoil, message = REFUSED[what]
    folder, kept = with_folder.path / "mine", tmp_path / "kept"
    shutil.copytree(folder, kept)
    start, before = len(with_folder.events()), with_folder.digests()
    try:
        spoil(folder)
        done = with_folder.sublim("check", check=False)
        assert done.status != 0
        assert message in done.output
        assert "params.yaml:" in done.output
        assert "Traceback" not in done.output
        if what == "pickled weights only":
            for command in ("snakemake -n", "snakemake -j2", "dvc repro"):
                done = with_folder.run(*command.split(), check=False)
                assert done.status != 0
                assert message in done.output
        assert with_folder.events()[start:] == []
        assert with_folder.digests() == before
    finally:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        (with_folder.path / "weights.safetensors").unlink(missing_ok=True)


def test_the_same_folder_unspoiled_is_taken(with_folder: Project) -> None:
    assert "44 artifacts" in with_folder.sublim("check").output


def test_variables_of_the_template_are_those_of_the_params(with_folder: Project, tmp_path: Path) -> None:
    project = with_folder.copy(tmp_path / "project")
    yaml, path = YAML(typ="safe", pure=True), project.path / "params.yaml"
    params = yaml.load(path)
    params["models"]["a"]["template"] = {"enable_thinking": False}
    yaml.dump(params, path)
    project.snakemake("data/base/model=a/record.json")
    source = project.path / "data" / "base" / "model=a" / "source.json"
    assert json.loads(source.read_text())["template"] == {"enable_thinking": False}
    assert "the template's variables" not in project.sublim("audit", "--stage", "base", check=False).output
    set_json(source, "template.enable_thinking", value=True)
    launder(project.path / "data")
    assert "the template's variables" in project.sublim("audit", "--stage", "base", check=False).output
