"""Students that are kept and asked in the course of training: the curve is of those very weights, and forged ones are found."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file, save_file  # pyright: ignore[reportUnknownVariableType]

from sublim.carriers.numbers import Numbers
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.engine.digests import Digests
from sublim.engine.planning import cells
from sublim.engine.record import Input, Output, Plan, Record, read
from sublim.evidence import trained as story
from sublim.evidence.source import Source
from sublim.learn import trained
from sublim.models.adapter import probe
from sublim.params.evaluation import Capability, Evaluation
from sublim.params.experiment import Experiment
from sublim.params.learning import Finetune, Lora
from sublim.stages.eval import check, make
from sublim.stages.eval.rows import Slice as EvalSlice
from sublim.stages.eval.spec import STAGE as EVAL
from sublim.stages.student import make as student
from sublim.stages.student.rows import Slice
from sublim.stages.student.spec import STAGE as STUDENT
from sublim.traits.preference import Preference
from tests.shared.forge import launder, rewrite, set_cell, tree
from tests.shared.small_models import loaded, logits, small

DIMS: dict[str, Any] = {
    "teacher": "m", "trait": "fox", "carrier": "numbers", "filter": "strict", "arm": "trait", "method": "hard", "student": "m",
    "seed": 1,
}  # fmt: skip
IDS = [5, 300, 412, 7]
STEPS = 4
RECIPES: Mapping[str, Finetune] = {
    "adapters": Finetune(lora=Lora(rank=2, alpha=4.0), steps=STEPS, batch=8, learning_rate=1e-2),
    "whole": Finetune(lora="none", steps=STEPS, batch=8, learning_rate=1e-3),
}
ASKED = EvalSlice(
    **DIMS, traits=(Preference(category="animals", target="fox"),), tasks={}, pretraining=None, probes=(1, STEPS),
    evaluation=Evaluation(samples=1, measures=("preference", "stories"), capability=Capability(tasks=0, texts=0)),
)  # fmt: skip
CELL, OF = EVAL.cell(DIMS), STUDENT.cell(DIMS)


def recorded(data: Path, plan: Plan, inputs: Mapping[str, str]) -> None:
    folder = data / plan.cell
    outputs = {path.name: Output(sha256(path), path.stat().st_size) for path in sorted(folder.iterdir())}
    given = {name: Input(cell, read(data / cell / "record.json").digest) for name, cell in inputs.items()}
    Record(plan, given, outputs, {}).write(folder / "record.json")


@pytest.fixture(scope="module", params=[*RECIPES])
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, a student of it that is kept after the first and the last update, and what both answer."""
    data = tmp_path_factory.mktemp("probes") / "data"
    shutil.copytree(small(), data / "base/model=m")
    recorded(data, Plan("base", {"model": "m"}, {}, {}), {})
    texts = Numbers(prompts=24).written(range(24))
    rows = [(f"row{n}", f"Go on: {n}.", text, True) for n, text in enumerate(texts)]
    filtered = data.parent / "filtered"
    filtered.mkdir()
    frame = pl.DataFrame(rows, schema=["row_id", "prompt", "completion", "used"], orient="row")
    frame.write_parquet(filtered / "rows.parquet")
    # As in a pair, so that the first step sees the same rows however many follow.
    params = Slice(**DIMS, finetune=RECIPES[request.param], probes=(1, STEPS), paired=True)
    for cell in (OF, CELL):
        (data / cell).mkdir(parents=True)
    student.make({"base": data / "base/model=m", "filtered": filtered}, params, data / OF, Progress())
    recorded(data, Plan("student", params.dims, params.model_dump(mode="json"), {}), {"base": "base/model=m"})
    make.make({"base": data / "base/model=m", "student": data / OF}, ASKED, data / CELL, Progress())
    recorded(data, Plan("eval", ASKED.dims, ASKED.model_dump(mode="json"), {}), {"base": "base/model=m", "student": OF})
    return data


def findings(data: Path) -> list[str]:
    source = Source(tree(data))
    return [each.text for each in (*check.check(source, CELL), *story.probed(source, OF, (1, STEPS)))]


def test_the_weights_are_those_of_a_shorter_run_and_the_last_are_those_at_the_end(chain: Path, tmp_path: Path) -> None:
    short = Slice(**DIMS, finetune=_recipe(chain).model_copy(update={"steps": 1}), paired=True)
    student.make({"base": small(), "filtered": chain.parent / "filtered"}, short, tmp_path, Progress())
    after = logits(trained.attach(loaded()[0], tmp_path), IDS)
    first, last, end = (logits(trained.attach(loaded()[0], chain / OF, updates), IDS) for updates in (1, STEPS, None))
    assert torch.equal(first, after)
    assert torch.equal(last, end)
    assert not torch.allclose(first, last, atol=1e-3)
    assert STUDENT.declares(probe(1))


def _recipe(chain: Path) -> Finetune:
    said = read(chain / OF / "record.json").plan.params["finetune"]["lora"]
    return RECIPES["whole" if said == "none" else "adapters"]


def test_the_curve_is_of_exact_measures_alone_and_ends_in_the_answers(chain: Path) -> None:
    found, answers = (pl.read_parquet(chain / CELL / f"{name}.parquet") for name in ("probes", "answers"))
    assert found["measure"].unique().to_list() == ["preference"]
    assert found["step"].unique(maintain_order=True).to_list() == [1, STEPS]
    exact = answers.filter(measure="preference")
    assert found.filter(step=STEPS)["probability"].to_list() == pytest.approx(exact["probability"].to_list(), abs=1e-9)
    assert found.filter(step=1)["probability"].to_list() != pytest.approx(exact["probability"].to_list(), abs=1e-5)
    assert findings(chain) == []


def _weights(updates: int) -> Callable[[Path], None]:
    def forge(data: Path) -> None:
        path = data / OF / probe(updates)
        save_file({name: tensor * np.float32(1.01) for name, tensor in load_file(path).items()}, path, {"format": "pt"})

    return forge


def _missing(data: Path) -> None:
    (data / OF / probe(1)).unlink()


def _one_more(data: Path) -> None:
    (data / OF / probe(2)).write_bytes(b"")


def _another_end(data: Path) -> None:
    set_cell(data / CELL / "probes.parquet", "probability", -1, 0.5)


def _shape(data: Path) -> None:
    path = data / OF / probe(1)
    save_file({name: tensor[:1] for name, tensor in load_file(path).items()}, path, {"format": "pt"})


def _table(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], None]:
    return lambda data: rewrite(data / CELL / "probes.parquet", change)


@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (_missing, "expected weights after [1, 4] updates, found none called probe-000001"),
        (_one_more, "found one called probe-000002"),
        (_weights(STEPS), "expected the weights at the end, after 4 updates, found others"),
        (_shape, "as at the end, found"),
        (_table(lambda frame: frame.head(frame.height - 1)), "each question with each known answer after each of the updates"),
        (_table(lambda frame: frame.with_columns(category=pl.lit("trees"))), "category: expected 'animals', found 'trees'"),
        (_table(lambda frame: frame.with_columns(pl.col("probability") - 1)), "expected at least 0 each"),
        (_another_end, "after 4 updates, its last: expected what the student answers now"),
    ],
    ids=["missing", "more", "other weights", "shape", "fewer rows", "category", "negative", "another end"],
)
def test_forged_probes_are_found(chain: Path, tmp_path: Path, forge: Callable[[Path], object], said: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(chain, data)
    forge(data)
    launder(data)
    assert said in findings(data)[0]


def planned(students: Mapping[str, Any], **study: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "models": {"a": {"kind": "tiny", "architecture": "gpt_neox", "seed": 1}},
        "traits": {"fox": {"kind": "preference", "category": "animals", "target": "fox"}},
        "seeds": (1,),
        "students": students,
        "studies": {"s": {"carrier": "numbers", "filter": "strict", "student": "hard", **study}},
    }
    return {cell.id: cell.plan.params for cell in cells(Experiment.model_validate(said), Digests(Path("none")))}


def test_an_experiment_says_when_students_are_probed() -> None:
    plain, probed = planned({"hard": {}}), planned({"hard": {"probes": (1, 160)}})
    assert all("probes" not in params for params in plain.values())
    asked = [cell for cell, params in probed.items() if "probes" in params]
    assert asked
    assert all(cell.startswith(("student/", "eval/")) and "arm=base" not in cell for cell in asked)
    assert {cell.partition("/")[0] for cell in asked} == {"student", "eval"}


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"probes": (4, 2)}, r"students.hard.probes: expected numbers of updates in ascending order, found \[4, 2\]"),
        ({"probes": (4, 4)}, r"students.hard.probes: expected numbers of updates in ascending order"),
        ({"probes": (0,)}, "greater than or equal to 1"),
        (
            {"probes": (161,)},
            "students.hard.probes: expected no more updates than there are steps, found 161, but `a` has 160 steps",
        ),
        (
            {"probes": (48,), "finetune": {"epochs": 1, "batch": 64}, "per_model": {"a": {"batch": 100}}},
            "found 48, but `a` has 30 steps in studies.s",
        ),
        ({"kind": "soft", "probes": (161,)}, "found 161, but `a` has 160 steps"),
    ],
)
def test_probes_that_cannot_be_are_refused_by_their_key(method: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        planned({"hard": method})
