"""A folder of a model may hold anything: its files are named, or it is refused in words, within bounds."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from sublim.models.hub import ModelError, verify
from tests.shared.hostile import altered, json_values, mutated

TENSORS: dict[str, Any] = {
    "__metadata__": {"format": "pt"},
    "gpt_neox.embed_in.weight": {"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 32]},
    "embed_out.weight": {"dtype": "F32", "shape": [4, 2], "data_offsets": [32, 64]},
}
TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEMPLATES = (
    "{% for i in range(10**9) %}x{% endfor %}",
    "{{ 'x' * 10**10 }}",
    "{{ [[0] * 10**6] * 10**6 }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ raise_exception('no') }}",
    "{{ 1 / 0 }}",
    "{% include 'x' %}",
    "{{ messages[99].a.b }}",
    "{{ 9**9**9 }}",
    "{%",
    "{{ }}",
    "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "{{ strftime_now('%Y') }}",
    "{{ '%999999999d' % 1 }}",
    "{{ lipsum(10**6) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ messages.clear() }}",
    "{% set x = messages.append(1) %}",
    "{{ '\x1b[2K' }}" + TEMPLATE,
    "{{ '{:>999999999}'.format(1) }}",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "(" * 5000,
    "{{ " + "(" * 3000 + ")" * 3000 + " }}",
    "{{ 'a'|replace('a', 'a' * 10**6)|replace('a', 'a' * 10**6) }}",
)
CONFIG: dict[str, Any] = {"model_type": "gpt_neox", "vocab_size": 4, "hidden_size": 2, "architectures": ["GPTNeoXForCausalLM"]}
FILES: dict[str, Any] = {
    "config.json": CONFIG, "tokenizer_config.json": {"eos_token": "</>", "tokenizer_class": "PreTrainedTokenizerFast"},
    "tokenizer.json": {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"</>": 0}, "unk_token": "</>"}},
    "generation_config.json": {"eos_token_id": 0},
    "model.safetensors.index.json": {"weight_map": {"embed_out.weight": "model-00001-of-00001.safetensors"}},
}  # fmt: skip


def _safetensors(header: Any, data: bytes = bytes(64)) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _written(folder: Path, *, sharded: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, value in FILES.items():
        if sharded or "index" not in name:
            (folder / name).write_text(json.dumps(value))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    name = "model-00001-of-00001.safetensors" if sharded else "model.safetensors"
    (folder / name).write_bytes(_safetensors(TENSORS if not sharded else {k: v for k, v in TENSORS.items() if "in" not in k}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub") / "model"


def _refused_or_named(folder: Path) -> None:
    try:
        names = verify(folder)
    except ModelError as error:
        assert str(error)
    else:
        assert "config.json" in names


@seed(12)
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_in_a_folder_is_a_model_or_refused_in_words(folder: Path, data: st.DataObject) -> None:
    _written(folder, sharded=data.draw(st.booleans()))
    name = data.draw(st.sampled_from(sorted(path.name for path in folder.iterdir())))
    path = folder / name
    whole = path.read_bytes()
    if name.endswith(".json") and data.draw(st.booleans()):
        path.write_text(json.dumps(data.draw(altered(FILES[name]))))
    elif name.endswith(".safetensors") and data.draw(st.booleans()):
        header = data.draw(st.one_of(altered(TENSORS), json_values()))
        path.write_bytes(_safetensors(header, data.draw(st.binary(max_size=80))))
    else:
        path.write_bytes(data.draw(mutated(whole)))
    _refused_or_named(folder)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda text: text[:40])
def test_whatever_a_template_does_it_ends(folder: Path, template: str) -> None:
    _written(folder, sharded=False)
    if TEMPLATES.index(template) % 2:  # it may stand in two places
        (folder / "chat_template.jinja").unlink()
        config = {**FILES["tokenizer_config.json"], "chat_template": template}
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    else:
        (folder / "chat_template.jinja").write_text(template)
    _refused_or_named(folder)
