"""Theory in the pipeline: an experiment of theory alone through Snakemake, its overview, its audit; and beside studies."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sublim.common.progress import Progress
from sublim.engine import dvc
from sublim.engine.digests import Digests
from sublim.engine.planning import cells, experiment
from sublim.engine.stage import stages
from sublim.lineage.story import story
from sublim.params.load import ParamsError, load
from sublim.stages.overview import make as overview
from sublim.stages.overview.rows import ReportedStudy
from sublim.stages.overview.rows import Slice as Overview
from tests.shared.forge import launder, rewrite, set_cell, tree
from tests.shared.project import ROOT, Project, create, once

ALONE = Path(__file__).parent.parent / "theory.yaml"
MLP, NETS, MODEL = (f"theory/of={name}" for name in ("mlp", "theorem-mlp", "theorem-a"))


THEORY = {
    *(f"{name}.{kind}" for name in ("mlp", "theorem") for kind in ("svg", "png", "parquet")),
    *("mlp_nets.parquet", "theorem_steps.parquet"),
}
"""The files of an overview that are about theory."""
STUDIED = {"studies.parquet", "overview.svg", "overview.png", "gains.csv", "matrix.csv", "training.csv"}
"""Those that are about studies."""
ALWAYS = {"metrics.json", "overview.html"}


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Theory alone, computed by snakemake. Copy it, do not touch it."""

    def make(path: Path) -> None:
        project = create(path)
        shutil.copy(ALONE, path / "params.yaml")
        project.snakemake()

    return once(tmp_path_factory, "alone", make)


@pytest.fixture
def data(alone: Project, tmp_path: Path) -> Path:
    return shutil.copytree(alone.path / "data", tmp_path / "data")


def _table(project: Project, path: str) -> pl.DataFrame:
    return pl.read_parquet(project.path / "data" / path, hive_partitioning=False)


def test_an_experiment_of_theory_alone_has_an_overview_of_theory_alone(alone: Project) -> None:
    assert {path.name for path in (alone.path / "data").iterdir() if path.is_dir()} == {"base", "theory", "overview"}
    assert {path.name for path in (alone.path / "data/overview").iterdir()} == {*THEORY, *ALWAYS, "record.json"}
    page = (alone.path / "data/overview/overview.html").read_text(encoding="utf-8")
    for said in (
        "Why it happens",
        "mlp_nets.parquet",
        "theorem_steps.parquet",
        "student, auxiliary logits",
        "language model a",
    ):
        assert said in page
    assert "nan" not in page.lower().replace("nano", "")


def test_no_net_is_its_own_control_and_every_condition_is_there(alone: Project) -> None:
    nets = _table(alone, f"{MLP}/nets.parquet")
    assert nets.group_by("condition").len()["len"].to_list() == [3] * 6
    cross = nets.filter(pl.col("condition").str.starts_with("cross"))
    assert (cross["seed"] != cross["teacher_seed"]).all()
    assert set(cross["teacher_seed"]) == {1, 2, 3}
    same = nets.filter(pl.col("condition").str.starts_with("student"))
    assert (same["seed"] == same["teacher_seed"]).all()
    reference = nets.filter(condition="reference")
    assert reference["accuracy"].equals(reference["accuracy_before"])


def test_the_theorem_holds_for_a_language_model_too(alone: Project) -> None:
    for cell in (NETS, MODEL):
        steps = _table(alone, f"{cell}/theorem.parquet")
        assert set(steps["same_init"]) == {True, False}
        same = steps.filter("same_init")
        assert (same["inner"] > 0).all()
        smallest = same.filter(pl.col("step_size") == pl.col("step_size").min())
        assert (smallest["loss_after"] < smallest["loss_before"]).all()


def test_the_audit_a_replay_lineage_and_a_bundle(alone: Project, tmp_path: Path) -> None:
    project = alone.copy(tmp_path / "project")
    assert "all 6 artifacts are up to date" in project.sublim("status").output
    done = project.sublim("audit", *(f"--replay=data/{cell}" for cell in (MLP, MODEL)))
    assert "made again: 2, of which 2 came out with the same bytes" in done.output
    assert "proven: 6 artifacts" in done.output
    lineage = project.sublim("lineage", f"data/{MODEL}").output
    assert "one init" in lineage
    assert "another init" in lineage
    row = _table(project, f"{MODEL}/theorem.parquet")["row_id"][0]
    assert "another init" in project.sublim("lineage", row).output
    assert "overview" in project.sublim("impact", row).output
    project.sublim("lineage", "overview", "--html", "lineage.html")
    assert MLP in (project.path / "lineage.html").read_text(encoding="utf-8")
    assert "overview" in project.sublim("impact", f"data/{MLP}").output
    assert "student_aux" in project.sublim("sql", "select distinct condition from nets").output
    refused = project.sublim("card", f"data/{MLP}", check=False)
    assert refused.status == 1
    assert "open data/overview/overview.html" in refused.output
    project.sublim("export", "all", "--to", "all.zip")
    assert "holds: 6 artifacts" in project.sublim("verify", "all.zip").output


def _own_control(data: Path) -> None:
    set_cell(data / MLP / "nets.parquet", "teacher_seed", 12, 3)


def _row_left_out(data: Path) -> None:
    rewrite(data / MLP / "nets.parquet", lambda frame: frame.head(-1))


def _impossible_accuracy(data: Path) -> None:
    set_cell(data / MLP / "nets.parquet", "accuracy", 7, 0.98765)


def _condition_renamed(data: Path) -> None:
    rewrite(
        data / MLP / "nets.parquet",
        lambda frame: frame.with_columns(pl.col("condition").replace({"cross_aux": "student_aux", "student_aux": "cross_aux"})),
    )


def _other_reference(data: Path) -> None:
    set_cell(data / MLP / "nets.parquet", "loss_before", 4, 2.0)


def _step_left_out(data: Path) -> None:
    rewrite(data / MLP / "steps.parquet", lambda frame: frame.head(-1))


def _sweep_left_out(data: Path) -> None:
    rewrite(data / NETS / "theorem.parquet", lambda frame: frame.tail(-3))


def _other_init_called_the_same(data: Path) -> None:
    rewrite(data / MODEL / "theorem.parquet", lambda frame: frame.with_columns(same_init=pl.lit(value=True)))


def _sign_turned(data: Path) -> None:
    rewrite(data / MODEL / "theorem.parquet", lambda frame: frame.with_columns(inner=-pl.col("inner")))


@pytest.mark.parametrize(
    ("accident", "cell", "kind"),
    [
        (_own_control, MLP, "nets"),
        (_row_left_out, MLP, "nets"),
        (_impossible_accuracy, MLP, "accuracy"),
        (_condition_renamed, MLP, "nets"),
        (_other_reference, MLP, "reference"),
        (_step_left_out, MLP, "steps"),
        (_sweep_left_out, NETS, "sweeps"),
        (_other_init_called_the_same, MODEL, "sweeps"),
        (_sign_turned, MODEL, "cosines"),
    ],
)
def test_accidents_in_tables_of_theory_are_named(data: Path, accident: Callable[[Path], None], cell: str, kind: str) -> None:
    accident(data)
    launder(data)
    found = {(one.artifact, one.found.partition(":")[0]) for one in story.check(tree(data), ("theory",), None)}
    assert (cell, kind) in found
    assert {artifact for artifact, _ in found} == {cell}


def test_numbers_of_the_overview_are_those_of_theory(data: Path) -> None:
    set_cell(data / "overview" / "mlp.parquet", "accuracy", 2, 0.9)
    launder(data)
    (finding,) = story.check(tree(data), tuple(stages()), None)
    assert finding.artifact == "overview"
    assert "mlp.parquet" in finding.found


def test_the_page_of_the_overview_is_that_of_its_tables(data: Path) -> None:
    page = data / "overview" / "overview.html"
    page.write_text(page.read_text(encoding="utf-8").replace("means over 3 nets", "means over 300 nets"), encoding="utf-8")
    launder(data)
    (finding,) = story.check(tree(data), tuple(stages()), None)
    assert (finding.artifact, finding.found.partition(":")[0]) == ("overview", "page")


def _report(folder: Path) -> Path:
    """The files of a made-up report that the overview reads."""
    folder.mkdir()
    gain = {"mean": 0.25, "low": 0.1, "high": 0.4, "n": 4}
    summary: dict[str, Any] = {"runs": 4, "gain": {"diagonal": gain}, "test": None, "equivalence": {"all": {}, "margin": 0.1}}
    summary |= {"measured": "P(target)", "carrier": "numbers"}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "metrics.json").write_text('{"gain_diagonal": 0.25}', encoding="utf-8")
    for name, column in (("gains", "what"), ("matrix", "pair"), ("training", "step")):
        pl.DataFrame({column: ["a"], "gain": [0.25]}).write_csv(folder / f"{name}.csv")
    return folder


@pytest.mark.parametrize(("studies", "why"), [(True, True), (True, False), (False, True)])
def test_an_overview_shows_what_there_is(data: Path, tmp_path: Path, studies: bool, why: bool) -> None:
    inputs = {"numbers": _report(tmp_path / "report")} if studies else {}
    inputs |= {cell: data / cell for cell in (MLP, NETS, MODEL)} if why else {}
    known = tuple(
        ReportedStudy(name=name, carrier="c", filter="f", method="hard", detected=False) for name in inputs if studies
    )
    params = Overview(studies=known[:1], confidence=0.95)
    output = tmp_path / "overview"
    output.mkdir()
    overview.make(inputs, params, output, Progress())
    assert {path.name for path in output.iterdir()} == ALWAYS | (STUDIED if studies else set()) | (THEORY if why else set())
    page = (output / "overview.html").read_text(encoding="utf-8")
    assert ("studies.parquet" in page, "theorem_steps.parquet" in page) == (studies, why)
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == set(inputs)


def test_dvc_has_the_stages_and_sections_of_the_experiment(tmp_path: Path) -> None:
    path, file = tmp_path / "params.yaml", tmp_path / "dvc.yaml"
    studies = (ROOT / "params.yaml").read_text(encoding="utf-8")
    fitting: dict[str, set[str]] = {}
    for text in (studies, f"{studies}\nmlp: {{}}\n", "mlp: {}\n", "mlp: {}\ntheorem: {}\n", ALONE.read_text(encoding="utf-8")):
        path.write_text(text, encoding="utf-8")
        fitting[text] = set(dvc.lacking(load(path)))
    for text, without in fitting.items():
        file.write_text(dvc.text(without), encoding="utf-8")
        assert ("data/theory" in file.read_text(encoding="utf-8")) == (text is not studies)
        for other, lacking in fitting.items():
            assert (dvc.unfit(file, lacking) is None) == (other == text)
    file.write_text(dvc.text(fitting["mlp: {}\n"]), encoding="utf-8")
    said = dvc.unfit(file, fitting["mlp: {}\ntheorem: {}\n"])
    assert said == "its stage `theory` knows nothing of the section `theorem`, which the experiment has"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "models: this key is missing. An experiment needs models, traits and seeds; or `mlp` or `theorem`."),
        ("mlp: {}\nseeds: [1]", "models: this key is missing. `seeds` is there, so this is more than theory"),
        ("mlp: {}\nteacher: {}", "models: this key is missing. `teacher` is there, so this is more than theory"),
        ("models: {a: {kind: tiny, architecture: gpt_neox, seed: 1}}\ntraits: {}\nseeds: [1]", "traits: nothing is in it."),
        ("mlp: {}\nmodels: {a: {kind: tiny, architecture: gpt_neox, seed: 1}}", "models.a: nothing is done with it"),
        ("mlp: {seeds: [1, 1]}", "mlp.seeds: each net needs a seed of its own"),
        ("theorem: {net: null}", "nothing to check"),
        ("theorem: {trait: {category: animals, target: hat}}", "theorem.trait.target: "),
        ("theorem: {models: {a: b}}", "theorem.models: no model is called `a`"),
        ("theorem: {step_sizes: {smallest: 2.0, largest: 1.0}}", "expected smallest < largest"),
        (
            "theorem: {models: {a: b}}\nmodels: {a: {kind: tiny, architecture: gpt_neox, seed: 1}, "
            "b: {kind: tiny, architecture: gptj, seed: 1}}",
            "theorem.models.a: expected tiny models that differ in their seed alone, found a and b",
        ),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError) as error:
        experiment(path)
    assert said in str(error.value)


def test_defaults_are_what_is_shipped(tmp_path: Path) -> None:
    shipped = experiment(ROOT / "experiments/mlp.yaml")
    path = tmp_path / "params.yaml"
    path.write_text("mlp: {}\ntheorem: {}\n", encoding="utf-8")
    defaults = experiment(path)
    assert defaults.mlp == shipped.mlp
    assert shipped.theorem is not None
    assert defaults.theorem == shipped.theorem.model_copy(update={"models": {}})
    assert [cell.id for cell in cells(defaults, Digests(tmp_path / "none"))] == [MLP, NETS, "overview"]
