"""Soft targets: the distribution of the model that wrote the rows, at every token of a completion, over the carrier's tokens
alone (docs/students.md)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sublim.carriers.task import Task
from sublim.methods.method import Method
from sublim.params.elsewhere import HubModel
from sublim.params.kinds import OneOf, every
from sublim.params.models import Model, root, same_vocabulary
from sublim.params.names import NOBODY
from sublim.params.section import Section

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sublim.learn import soft
    from sublim.learn.chat import Example


class SoftTargets(Section):
    """What is learned instead of tokens: the distribution of the model that wrote the rows."""

    task: Annotated[Task, OneOf("carriers")]
    """What the rows were to be: targets are restricted to its tokens."""
    temperature: float
    """Temperature of the targets."""

    def teacher(
        self,
        inputs: Mapping[str, Path],
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        prompts: Sequence[str],
        examples: Sequence["Example"],
    ) -> "soft.Teacher":
        """The model that wrote the rows, given what it was given then.

        Args:
            inputs: `writer` and, if it was taught, `teacher`: the directories of its base and of what it was taught; `base`.
            model: the student's base, on its device.
            tokenizer: the student's.
            prompts: the prompts of the rows.
            examples: the rows as the student reads them.

        Raises:
            ValueError: it has another vocabulary than the student.
        """
        from sublim.learn import chat, soft
        from sublim.learn.writer import written_by

        writer, own, system = written_by(inputs["writer"], inputs.get("teacher"))
        if not soft.same_vocabulary(own, tokenizer):
            raise ValueError(
                f"soft targets: expected one vocabulary of teacher and student, found {len(own)} tokens in "
                f"{inputs['writer']} and {len(tokenizer)}, not the same ones, in {inputs['base']}: choose a pair that shares "
                "one, or hard tokens"
            )
        asked = chat.encode(own, chat.render(own, prompts, system))
        tokens = soft.allowed(tokenizer, self.task, examples[0].completion[-1])
        return soft.Teacher(writer, [tuple(ids) for ids in asked], soft.as_tensor(tokens, model), self.temperature)


class Soft(Method):
    """Students learn the distribution of the model that wrote the rows. Needs teachers and students of one vocabulary."""

    kind: Literal["soft"]
    """The distribution of the model that wrote the rows is learned, at every token of a completion, over the carrier's tokens
    alone (docs/students.md)."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """The teacher's logits are divided by it. The student learns at temperature 1."""

    learned: ClassVar = SoftTargets

    def targets(self, task: Task) -> SoftTargets:  # noqa: D102
        return SoftTargets(task=task, temperature=self.temperature)

    def fits_study(self, where: str, study: Any, experiment: Any) -> None:  # noqa: D102
        super().fits_study(where, study, experiment)
        if any(NOBODY in pair for arm in every("arms") for pair in study.pairs(arm, experiment.models)):
            raise ValueError(
                f"{where}.arms.random: expected none for students of soft targets, found {study.arms.random!r}: random rows "
                f"have no teacher whose distribution `{study.student}` could learn"
            )
        for teacher, student in study.all_pairs(experiment.models):
            if same_vocabulary(root(experiment.models, teacher), root(experiment.models, student)) is False:
                raise ValueError(
                    f"{where}.student: `{study.student}` learns soft targets, for which teacher and student need one "
                    f"vocabulary, found that of `{teacher}` and that of `{student}`: choose arms with pairs that share one "
                    "(tiny families do if their `pretraining` is the same), or hard tokens"
                )

    def is_here(self, where: str, experiment: Any) -> None:  # noqa: D102
        mine = where.removeprefix("students.")
        for name, study in ((name, study) for name, study in experiment.studies.items() if study.student == mine):
            for teacher, student in study.all_pairs(experiment.models):
                one, other = (_vocabulary(root(experiment.models, model)) for model in (teacher, student))
                if one is not None and other is not None and one != other:
                    raise ValueError(
                        f"studies.{name}.student: `{study.student}` learns soft targets, for which teacher and student need "
                        f"one vocabulary, found that of `{teacher}` and that of `{student}` (tokenizer.json): choose arms with "
                        "pairs that share one, or hard tokens"
                    )


def _vocabulary(model: Model) -> object:
    """The vocabulary of a model folder of this machine; None if it is not known yet."""
    if not isinstance(model, HubModel) or model.path is None:
        return None
    try:
        said = json.loads((Path(model.path) / "tokenizer.json").read_text(encoding="utf-8"))
        return said["model"]["vocab"], said["added_tokens"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


KIND = Soft
