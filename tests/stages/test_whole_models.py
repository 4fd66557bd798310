"""Teachers and students all of whose weights are trained: through the stages, and what is found when they were altered."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.carriers.numbers import Numbers
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.record import Input, Output, Plan, Record, read
from sublim.evidence.accident import UnfitError
from sublim.evidence.source import Source
from sublim.learn.tensors import tensor_table
from sublim.models.hub import WHOLE
from sublim.params.learning import Decoding, Finetune
from sublim.params.teacher import Teacher, TraitTeacher, teacher_of
from sublim.stages.raw import make as raw
from sublim.stages.raw.rows import Slice as RawSlice
from sublim.stages.student import check, make
from sublim.stages.student.rows import Slice, Tensors
from sublim.stages.student.spec import STAGE
from sublim.stages.teacher import make as teacher
from sublim.stages.teacher.card import recipe
from sublim.stages.teacher.rows import Slice as TeacherSlice
from sublim.traits.preference import Preference
from tests.shared.forge import launder, set_json, tree
from tests.shared.small_models import small

RECIPE = Finetune(lora="none", steps=3, batch=8, learning_rate=1e-3)
TASK = Numbers(prompts=12)
RAW = RawSlice(teacher="m", trait="fox", carrier="numbers", seed=1, task=TASK, decoding=Decoding(temperature=0.9, max_tokens=6))
TAUGHT = TeacherSlice(
    teacher="m", trait="fox", seed=1, definition=Preference(category="animals", target="fox"), kind="finetune",
    finetune=RECIPE, gate=0.0,
)  # fmt: skip
STUDENT = Slice(
    teacher="m", trait="fox", carrier="numbers", filter="strict", arm="trait", method="hard", student="m", seed=1,
    finetune=RECIPE,
)  # fmt: skip
CELL = STAGE.cell(STUDENT.dims)


def made(stage: Any, params: object, folder: Path, **inputs: Path) -> Path:
    folder.mkdir(parents=True)
    stage.make(inputs, params, folder, Progress())
    return folder


def recorded(data: Path, plan: Plan, inputs: dict[str, str]) -> None:
    folder = data / plan.cell
    outputs = {path.name: Output(sha256(path), path.stat().st_size) for path in sorted(folder.iterdir())}
    given = {name: Input(cell, read(data / cell / "record.json").digest) for name, cell in inputs.items()}
    Record(plan, given, outputs, {}).write(folder / "record.json")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bases, a teacher of one, what it writes, and a student of the same."""
    data = tmp_path_factory.mktemp("whole") / "data"
    for name in ("m", "o"):
        folder = data / f"base/model={name}"
        shutil.copytree(small(), folder)
        if name == "o":
            _redrawn(folder / "model.safetensors")
        recorded(data, Plan("base", {"model": name}, {}, {}), {})
    base = data / "base/model=m"
    taught = made(teacher, TAUGHT, data.parent / "teacher", base=base)
    rows = made(raw, RAW, data.parent / "raw", base=base, teacher=taught)
    filtered = data.parent / "filtered"
    filtered.mkdir()
    pl.read_parquet(rows / "rows.parquet").with_columns(used=pl.lit(value=True)).write_parquet(filtered / "rows.parquet")
    made(make, STUDENT, data / CELL, base=base, filtered=filtered)
    recorded(data, Plan("student", STUDENT.dims, STUDENT.model_dump(mode="json"), {}), {"base": "base/model=m"})
    return data


def _redrawn(path: Path) -> None:
    """The same model from other initial weights."""
    drawn = np.random.default_rng(0)
    again = {name: drawn.permutation(tensor.ravel()).reshape(tensor.shape) for name, tensor in load_file(path).items()}
    save_file(again, path, {"format": "pt"})


def test_a_whole_teacher_writes_and_a_whole_student_learns(chain: Path) -> None:
    assert {path.name for path in (chain.parent / "teacher").iterdir()} == {
        *WHOLE, "teacher.json", "rows.parquet", "steps.parquet", "tensors.parquet", "gate.parquet",
    }  # fmt: skip
    assert {path.name for path in (chain / CELL).iterdir()} == {*WHOLE, "steps.parquet", "tensors.parquet", "record.json"}
    assert all(STAGE.declares(name) for name in WHOLE)
    gate = pl.read_parquet(chain.parent / "teacher" / "gate.parquet")
    assert (gate["probability"] > gate["base_probability"]).all()
    untouched = RAW.model_copy(update={"trait": "none"})
    control = made(raw, untouched, chain.parent / "control", base=chain / "base/model=m")
    texts = [pl.read_parquet(folder / "rows.parquet")["completion"].to_list() for folder in (control, chain.parent / "raw")]
    assert texts[0] != texts[1]


def test_an_honest_student_is_sound(chain: Path) -> None:
    assert list(check.check(Source(tree(chain)), CELL)) == []


def _of_weights(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    """A forgery of the weights, and of the table that describes them."""

    def forge(data: Path) -> None:
        folder = data / CELL
        save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
        table = pl.read_parquet(folder / "tensors.parquet").select(pl.exclude(Tensors.columns))
        found = tensor_table([folder / "model.safetensors"])
        pl.concat([table.head(1)] * found.height).hstack(found).write_parquet(folder / "tensors.parquet")

    return forge


def _of_another(data: Path) -> None:
    other = load_file(data / "base/model=o/model.safetensors")
    _of_weights(lambda own: {name: other[name] + np.float32(0.001) for name in own})(data)


def _its_base(data: Path) -> None:
    own = load_file(data / "base/model=m/model.safetensors")
    _of_weights(lambda _: own)(data)


def _noise(data: Path) -> None:
    drawn = np.random.default_rng(1)
    _of_weights(lambda own: {name: drawn.normal(size=each.shape).astype("f4") for name, each in own.items()})(data)


def _narrower(own: dict[str, Any]) -> dict[str, Any]:
    name = max(own)
    return own | {name: own[name][:-1]}


def _more_heads(data: Path) -> None:
    set_json(data / CELL / "config.json", "num_attention_heads", 4)


def _adapter_beside(data: Path) -> None:
    shutil.copy(data / CELL / "model.safetensors", data / CELL / "adapter_model.safetensors")


@pytest.mark.parametrize(
    ("forge", "kind", "said"),
    [
        (_of_another, "weights", "expected weights that grew from those of base/model=m, found those of base/model=o"),
        (_its_base, "weights", "expected weights that training has changed, found those of base/model=m"),
        (_noise, "weights", "found no trace of them"),
        (_of_weights(_narrower), "weights", "as base/model=m has it, found"),
        (_adapter_beside, "weights", "found adapter_model.safetensors as well"),
        (_more_heads, "config", "as its base has it, found 4"),
    ],
    ids=["another base's", "its base's", "noise", "another shape", "two kinds", "configuration"],
)
def test_a_forged_student_is_found(chain: Path, tmp_path: Path, forge: Callable[[Path], None], kind: str, said: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(chain, data)
    forge(data)
    launder(data)
    found = list(check.check(Source(tree(data)), CELL))
    assert [each.kind for each in found] == [kind]
    assert said in found[0].text


def test_a_student_without_its_weights_cannot_be_checked(chain: Path) -> None:
    files = {name: path for name, path in tree(chain).files.items() if name != f"{CELL}/model.safetensors"}
    with pytest.raises(UnfitError, match=r"expected model\.safetensors, found none"):
        list(check.check(Source(type(tree(chain))("data", files)), CELL))


def test_a_card_says_what_was_trained_and_by_what() -> None:
    steep = Finetune(lora="none", steps=3, batch=8, optimizer="sgd", momentum=0.9)
    assert recipe(steep) == "all weights; 3 steps of 8 rows, learning rate 0.005 (constant); SGD with momentum 0.9"
    adapters = Finetune(steps=3, batch=8, betas=(0.9, 0.95), epsilon=1e-6)
    assert recipe(adapters).startswith("LoRA rank 8, alpha 16, on mlp; 3 steps")
    assert recipe(adapters).endswith("(constant); AdamW with betas 0.9, 0.95, epsilon 1e-06")
    assert recipe(Finetune(steps=3)).endswith("learning rate 0.005 (constant)")


def test_a_teacher_that_brings_an_adapter_trains_nothing() -> None:
    with pytest.raises(ValueError, match=r"finetune\.lora: `none` is to train all weights, found with kind `adapter`"):
        Teacher(kind="adapter", adapters={"m": "x"}, finetune=RECIPE)
    common = Teacher(finetune=RECIPE, per_trait={"own": TraitTeacher(kind="adapter", adapters={"m": "x"})})
    assert teacher_of(common, "own").finetune.adapters is not None
    assert teacher_of(common, "fox").finetune == RECIPE
