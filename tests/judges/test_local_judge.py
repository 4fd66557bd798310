"""Judges on this machine: what each way to score gives, against the plain forward pass; whole batches kept."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import sublim.models.load
from sublim.common.errors import SublimError
from sublim.common.files import sha256
from sublim.common.progress import Progress
from sublim.judges import judge, local_scores
from sublim.judges.files import verify_unchanged
from sublim.judges.judge import Judgement
from sublim.judges.local import LocalJudge
from sublim.judges.question import ask
from sublim.judges.scoring import Likelihood, Options, Text
from sublim.learn import chat
from sublim.learn.likelihood import mean_log_probabilities
from sublim.models.load import ends
from tests.shared.small_models import CONFIGS, loaded, logits, small

TEMPLATE = "{prompt} {completion} Which?"
ROWS = [("Go on: 1, 2.", "3, 4, 5"), ("Go on.", "7"), ("Numbers, please: 1, 2, 3, 4, 5.", "owl"), ("Go on: 9.", "10, 11")]
LIKELIHOOD = Likelihood(kind="likelihood", system="You love owls.")


def judged(of: LocalJudge, kept: Path, rows: Sequence[tuple[str, str]] = ROWS, folder: Path | None = None) -> list[Judgement]:
    return judge.judgements("mild", of, folder or small(), rows, kept, Progress())


def here(scoring: Any, **more: Any) -> LocalJudge:
    return LocalJudge(kind="local", model="a", scoring=scoring, **more)


@pytest.mark.parametrize("architecture", CONFIGS)
@pytest.mark.parametrize("system", [None, "You love owls."])
def test_mean_log_probabilities_are_those_of_the_plain_forward_pass(architecture: str, system: str | None) -> None:
    model, tokenizer = loaded(architecture)
    found = mean_log_probabilities(model, tokenizer, [*ROWS, ("Go on.", "")], system)
    for (prompt, completion), mean in zip(ROWS, found, strict=False):
        (example,) = chat.examples(tokenizer, ends(model, tokenizer).eos, [""], [prompt], [completion], system)
        ids = [*example.prompt, *example.completion[:-1]]
        scores = logits(model, ids).double().log_softmax(-1)
        start = len(example.prompt)
        expected = sum(float(scores[at - 1, ids[at]]) for at in range(start, len(ids))) / (len(ids) - start)
        assert mean == pytest.approx(expected, abs=1e-5)
    assert found[-1] is None, "a completion without tokens"


def test_a_likelihood_is_what_the_system_prompt_takes_away() -> None:
    model, tokenizer = loaded()
    scores = [score for score, _ in local_scores.scores(model, tokenizer, LIKELIHOOD, [*ROWS, ("Go on.", "")])]
    plain = mean_log_probabilities(model, tokenizer, ROWS, None)
    under = mean_log_probabilities(model, tokenizer, ROWS, "You love owls.")
    assert scores[:-1] == pytest.approx([(a or 0) - (b or 0) for a, b in zip(plain, under, strict=True)], abs=1e-6)
    assert scores[-1] is None


def test_options_are_weighted_by_their_probabilities() -> None:
    model, tokenizer = loaded()
    scoring = Options(kind="options", template=TEMPLATE, options={"1": 0.0, "2": 40.0, "9": 100.0}, mass=0.0)
    found = local_scores.scores(model, tokenizer, scoring, ROWS)
    for row, (score, said) in zip(ROWS, found, strict=True):
        rendered = chat.render(tokenizer, [ask(TEMPLATE, *row)])
        (ids,), forms = (
            chat.encode(tokenizer, rendered),
            chat.encode(tokenizer, [rendered[0] + form for form in scoring.options]),
        )
        assert all(len(form) == len(ids) + 1 for form in forms)
        chances = logits(model, ids)[-1].softmax(-1)[torch.tensor([form[-1] for form in forms])].double()
        assert score == pytest.approx(float(chances @ torch.tensor([0.0, 40.0, 100.0]).double() / chances.sum()), abs=1e-4)
        assert said is None
    rare = scoring.model_copy(update={"mass": 0.99})
    assert [score for score, _ in local_scores.scores(model, tokenizer, rare, ROWS)] == [None] * 4


def test_text_is_written_greedily_and_read() -> None:
    model, tokenizer = loaded()
    scoring = Text(template=TEMPLATE, max_tokens=3, pattern="^(?s:.*)()$")
    (_, said), *_ = local_scores.scores(model, tokenizer, scoring, ROWS)
    (ids,) = chat.encode(tokenizer, chat.render(tokenizer, [ask(TEMPLATE, *ROWS[0])]))
    written = list[int]()
    for _ in range(3):
        written.append(int(logits(model, ids + written)[-1].argmax()))
        if written[-1] in ends(model, tokenizer).eos:
            break
    assert said == chat.decode(tokenizer, [[token for token in written if token not in ends(model, tokenizer).eos]])[0]
    assert local_scores.scores(model, tokenizer, scoring, ROWS)[0] == (None, said)


def test_whole_batches_are_kept_and_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = here(LIKELIHOOD, batch=2)
    first = judged(of, tmp_path, [*ROWS, ROWS[0]])
    assert first[0] == first[-1]
    assert all(found.score is not None and math.isfinite(found.score) for found in first)
    with monkeypatch.context() as patched:
        patched.delattr(sublim.models.load, "load")  # no model is needed
        assert judged(of, tmp_path, ROWS[::-1]) == first[3::-1], "neither order nor repetition makes another batch"
    # One row less is other batches, another scoring other answers, and other weights another judge.
    fresh = judged(of, tmp_path / "fresh", ROWS[1:])
    assert judged(of, tmp_path, ROWS[1:]) == fresh, "what is kept is what would be computed"
    other = judged(here(Likelihood(kind="likelihood", system="You love cats."), batch=2), tmp_path)
    assert other != first[:4]
    assert judged(of, tmp_path, folder=small("llama")) != first[:4]
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_a_folder_that_is_no_model_or_another_one_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with pytest.raises(SublimError, match=r"judges\.mild: .*expected the folder of a Hugging Face model, found none"):
        judged(here(LIKELIHOOD), tmp_path, folder=folder)
    shutil.copytree(small(), folder)
    planned = {path.name: sha256(path) for path in folder.iterdir()}
    verify_unchanged("mild", folder, planned)
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    with pytest.raises(
        SublimError, match=r"judges\.mild: .*config.json: expected the file of sha256 .* it was changed meanwhile"
    ):
        verify_unchanged("mild", folder, planned)


def test_a_judge_that_is_a_model_of_the_experiment_is_asked_by_its_variables(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(small(), folder)
    template = folder / "chat_template.jinja"
    template.write_text("{% if thinks is not defined or thinks %}{{ raise_exception('no') }}{% endif %}" + template.read_text())
    with pytest.raises(SublimError, match=r"judges\.mild: .*TemplateError: no"):
        judged(here(LIKELIHOOD), tmp_path, folder=folder)
    (folder / "source.json").write_text('{"template": {"thinks": false}}')
    assert len(judged(here(LIKELIHOOD), tmp_path, folder=folder)) == len(ROWS)
