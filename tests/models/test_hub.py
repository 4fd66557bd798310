"""Models made elsewhere: what is copied, and everything that is refused."""

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.models.hub import ModelError, copy, verify
from sublim.params.elsewhere import HubModel

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def safetensors(*tensors: str) -> bytes:
    header = {name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(tensors)}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4 * len(tensors))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything that a model needs, as far as this module looks."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "gpt_neox"}')
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "generation_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "model.safetensors").write_bytes(safetensors("a", "b"))
    (folder / "README.md").write_text("read me")
    return folder


def taken(folder: Path, tmp_path: Path, **expected: str) -> Path:
    output = tmp_path / "output"
    output.mkdir()
    copy(HubModel(kind="hub", path=str(folder)), expected, output, Progress())
    return output


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_folder_is_copied_with_its_digests(folder: Path, tmp_path: Path) -> None:
    output = taken(folder, tmp_path)
    names = {
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "model.safetensors",
    }
    assert {path.name for path in output.iterdir()} == {*names, "source.json"}
    source = json.loads((output / "source.json").read_text())
    assert source == {"repo": None, "revision": None, "files": {name: sha256(folder / name) for name in names}}
    assert str(tmp_path) not in (output / "source.json").read_text()


def test_sharded_weights_are_copied(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    (folder / "model-00002-of-00002.safetensors").write_bytes(safetensors("c"))
    one = "model-00001-of-00002.safetensors"
    index = {"weight_map": {"a": one, "b": one, "c": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    output = taken(folder, tmp_path)
    assert {path.name for path in output.glob("model*")} == {path.name for path in folder.glob("model*")}


def test_a_template_may_be_in_the_tokenizers_configuration(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    change(folder / "tokenizer_config.json", chat_template=TEMPLATE)
    assert "chat_template.jinja" not in verify(folder)


def test_links_inside_the_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").rename(folder / "real.json")
    (folder / "tokenizer.json").symlink_to("real.json")
    output = taken(folder, tmp_path)
    assert not (output / "tokenizer.json").is_symlink()


def test_a_folder_that_changed_since_it_was_planned_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="changed meanwhile"):
        taken(folder, tmp_path, **{"config.json": "0" * 64})


def lead_out(folder: Path) -> None:
    (folder.parent / "elsewhere.json").write_text("{}")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("../elsewhere.json")


def lead_out_by_a_folder(folder: Path) -> None:
    weights(folder, "elsewhere/model.safetensors")
    (folder.parent / "outside").mkdir()
    (folder / "elsewhere").symlink_to("../outside")


def weights(folder: Path, *names: Any) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {str(n): name for n, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def shard(name: str) -> Callable[[Path], object]:
    """Sound weights, by an index, in a file that no loader would read as safetensors."""

    def spoil(folder: Path) -> None:
        kept = (folder / "model.safetensors").read_bytes()
        weights(folder, name, name)
        (folder / name).write_bytes(kept)

    return spoil


def written(*tensors: tuple[str, Any, Any, Any], size: int = 8) -> Callable[[Path], object]:
    """Weights with this header: name, dtype, shape, data_offsets."""

    def spoil(folder: Path) -> None:
        entries = (
            f"{json.dumps(name)}: " + json.dumps({"dtype": d, "shape": s, "data_offsets": o}) for name, d, s, o in tensors
        )
        text = f"{{{', '.join(entries)}}}".encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))

    return spoil


def of_another_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors"}}  # and nothing of b
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def template(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "chat_template.jinja").write_text(text)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickled weights": (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"), "code when it is read"),
    "pickled weights, .pt": (lambda folder: (folder / "weights.PT").write_bytes(b"x"), "code when it is read"),
    "a pickle": (lambda folder: (folder / "extra.pkl").write_bytes(b"x"), "code when it is read"),
    "a model's own code": (lambda folder: change(folder / "config.json", auto_map={"AutoModel": "x.X"}), "auto_map"),
    "a tokenizer's own code": (lambda folder: change(folder / "tokenizer_config.json", auto_map={}), "auto_map"),
    "a link out": (lead_out, "leads out of the folder"),
    "a linked folder": (lead_out_by_a_folder, "may lead out"),
    "a traversal": (lambda folder: weights(folder, "../model.safetensors"), "may lead out"),
    "an absolute path": (lambda folder: weights(folder, "/etc/passwd"), "may lead out"),
    "an empty index": (weights, "expected a weight_map"),
    "a missing shard": (lambda folder: weights(folder, "model-1.safetensors"), "expected a file, found none"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "found neither"),
    "no configuration": (lambda folder: (folder / "config.json").unlink(), r"config\.json, found none"),
    "no tokenizer": (lambda folder: (folder / "tokenizer_config.json").unlink(), r"tokenizer_config\.json, found none"),
    "no chat template": (lambda folder: (folder / "chat_template.jinja").unlink(), "expected a chat template"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "expected JSON"),
    "a JSON list": (lambda folder: (folder / "config.json").write_text("[]"), "expected a JSON object"),
    "another format": (lambda folder: (folder / "model.safetensors").write_bytes(b"PK" + bytes(100)), "expected safetensors"),
    "cut off": (lambda folder: (folder / "model.safetensors").write_bytes(safetensors("a")[:-1]), "cut off or altered"),
    "longer": (lambda folder: (folder / "model.safetensors").write_bytes(safetensors("a") + b"x"), "cut off or altered"),
    "weights.dat": (shard("weights.dat"), "safetensors only"),
    "weights.model": (shard("weights.model"), "safetensors only"),
    "a suffix behind the suffix": (shard("model.safetensors.x"), "safetensors only"),
    "tensors that overlap": (written(("a", "F32", [1], [0, 4]), ("b", "F32", [1], [2, 6]), size=6), "overlaps"),
    "a hole": (written(("a", "F32", [1], [0, 4]), ("b", "F32", [1], [8, 12]), size=12), "leaves a hole"),
    "a negative place": (written(("a", "F32", [1], [-4, 0]), size=0), "data_offsets"),
    "another shape than bytes": (written(("a", "F32", [3], [0, 8])), "bytes for the shape"),
    "a negative shape": (written(("a", "F32", [-2, -1], [0, 8])), "shape"),
    "no numbers": (written(("a", "F32", ["2"], [0, 8])), "shape"),
    "an unknown type": (written(("a", "PICKLE", [2], [0, 8])), "unknown type"),
    "a tensor twice": (written(("a", "F32", [2], [0, 8]), ("a", "F32", [2], [0, 8])), "twice"),
    "an index of other weights": (of_another_index, "that of the index"),
    "code of the model's own, nested": (
        lambda folder: change(folder / "config.json", text_config={"x": [{"auto_map": {"A": "b.C"}}]}),
        "auto_map",
    ),
    "quantized weights": (
        lambda folder: change(folder / "config.json", quantization_config={"load_in_4bit": True}),
        "quantization_config",
    ),
    "quantized weights that are not said to be so": (written(("a.weight", "I8", [8], [0, 8])), "plain weights.* as I8"),
    "weights of eight bits": (written(("a", "F8_E4M3", [8], [0, 8])), "plain weights.* as F8_E4M3"),
    "an adapter beside the model": (
        lambda folder: (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}'),
        "found an adapter beside it",
    ),
    "other weights by the configuration": (
        lambda folder: change(folder / "config.json", transformers_weights="other.safetensors"),
        "transformers_weights: expected the weights in model.safetensors",
    ),
    "attention by code of the hub": (
        lambda folder: change(folder / "config.json", text_config=[{"_attn_implementation": "owner/kernel"}]),
        "_attn_implementation: 'owner/kernel' asks to run code of the hub",
    ),
    "no architecture": (lambda folder: change(folder / "config.json", model_type=["gpt2"]), "model_type"),
    "JSON without end": (lambda folder: (folder / "config.json").write_text('{"a":' * 100_000), "expected JSON"),
    "a template that raises": (template("{{ raise_exception('not for you') }}"), "not for you"),
    "a template that swells": (template("{{ 'x' * 3000000000 }}"), "too much memory"),
    "a template that reaches for more": (template("{{ ''.__class__.__mro__ }}"), "unsafe"),
    "a template of another kind": (
        lambda folder: ((folder / "chat_template.jinja").unlink(), change(folder / "tokenizer_config.json", chat_template=[7])),
        "expected a chat template",
    ),
    "an odd header": (lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 3) + b"[1]"), "header"),
}


def test_masks_and_positions_may_be_whole_numbers(folder: Path, tmp_path: Path) -> None:
    written(("attn.bias", "U8", [4], [0, 4]), ("a.weight", "F32", [1], [4, 8]), ("ids", "I64", [1], [8, 16]), size=16)(folder)
    assert (taken(folder, tmp_path) / "model.safetensors").exists()


@pytest.mark.parametrize("what", REFUSED)
def test_refused(folder: Path, tmp_path: Path, what: str) -> None:
    spoil, message = REFUSED[what]
    spoil(folder)
    with pytest.raises(ModelError, match=message) as error:
        taken(folder, tmp_path)
    assert str(folder) in str(error.value)
    assert not list((tmp_path / "output").iterdir())


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found none"):
        taken(tmp_path / "none", tmp_path)


def test_what_cannot_be_downloaded_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no way out")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    (tmp_path / "output").mkdir()
    with pytest.raises(ModelError, match=rf"owner/name at {COMMIT}: .*no way out.*--local-dir"):
        copy(HubModel(kind="hub", repo="owner/name", revision=COMMIT), {}, tmp_path / "output", Progress())
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "either `path`"),
        ({"path": "model", "repo": "owner/name", "revision": COMMIT}, "either `path`"),
        ({"repo": "owner/name"}, "go together"),
        ({"path": "model", "revision": COMMIT}, "go together"),
        ({"repo": "owner/name", "revision": "main"}, "pattern"),
        ({"repo": "../../name", "revision": COMMIT}, "pattern"),
    ],
)
def test_sources_that_make_no_sense(source: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HubModel.model_validate({"kind": "hub", **source})


def test_no_torch_is_imported() -> None:
    program = "import sys, sublim.models.hub; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("written", "words"), [(b"\xff\xfe{{ 1 }}", "expected UTF-8"), (b"\xef\xbb\xbf" + TEMPLATE.encode(), "byte order")]
)
def test_a_template_is_utf8_without_a_mark(folder: Path, written: bytes, words: str) -> None:
    (folder / "chat_template.jinja").write_bytes(written)
    with pytest.raises(ModelError, match=rf"chat_template\.jinja: .*{words}"):
        verify(folder)


@pytest.mark.parametrize("name", ["messages", "add_generation_prompt", "tools"])
def test_what_a_template_is_given_is_no_variable_of_it(name: str) -> None:
    with pytest.raises(ValidationError, match=f"found {name}: that is what every template is given"):
        HubModel(kind="hub", path="x", template={name: False})
