"""A base that comes of another model of the experiment: further training on rows that no model wrote, or a branch of the
pretraining of a tiny family."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sublim.params.elsewhere import PROBE
from sublim.params.known import known
from sublim.params.learning import Finetune
from sublim.params.names import Name
from sublim.params.section import Section
from sublim.params.tiny import Corpus, Mix, TinyModel

FURTHER = "sublim.models.further"
"""What trains further: found by name, so that no other base depends on it."""


class Branch(Section):
    """Where the pretraining of a tiny family is left, and how it goes on. The schedule of learning rates stays."""

    at: Annotated[float, Field(ge=0, le=1)]
    """The share of the parent's steps that both have in common: 0 for its initial weights alone, 1 for all of it."""
    order_seed: Annotated[int, Field(ge=0)]
    """The seed of the order of the rows from there on."""
    mix: Mix | None = None
    """The rows from there on; null for those that the parent saw after that."""
    corpus_seed: Annotated[int, Field(ge=0)] | None = None
    """The seed of these rows, if `mix` gives others."""

    @model_validator(mode="after")
    def _other_rows(self) -> Self:
        if (self.mix is None) != (self.corpus_seed is None):
            raise ValueError("`mix` and `corpus_seed` go together: give both for other rows, or neither for the parent's")
        return self


class Training(Section):
    """Further training on rows that no model wrote. An adapter is merged into the weights."""

    corpus: Corpus | None = None
    """Rows as tiny families are pretrained on: they favour no answer."""
    file: str | None = None
    """Rows of your own, which no model wrote: a Parquet or JSON-lines file with texts `prompt` and `completion`, and perhaps
    `system`; relative to where the experiment runs."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The seed of the adapter and of the order of the rows."""
    finetune: Finetune
    """How it is trained."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.corpus is None) == (self.file is None):
            raise ValueError("further training needs either `corpus` or `file`, and not both")
        return self

    def is_here(self, where: str, experiment: Any) -> None:  # noqa: ARG002, D102
        if self.file is not None and not Path(self.file).is_file():
            raise ValueError(f"{where}.file: {self.file}: no such file, seen from {Path.cwd()}")


class DerivedModel(Section):
    """A model that comes of another one of the experiment: its relative."""

    kind: Literal["derived"]
    """Made here of another model."""
    parent: Name
    """The model that it comes of. It may itself be derived."""
    training: Training | None = None
    """The whole parent, trained further."""
    branch: Branch | None = None
    """The pretraining of the parent, a tiny family, left at some point."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.training is None) == (self.branch is None):
            raise ValueError("a derived model needs either `training` or `branch`, and not both")
        return self

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        models: Mapping[str, Any] = experiment.models
        known(f"{where}.parent", "model", [self.parent], models)
        line = [where.removeprefix("models.")]
        while isinstance(model := models[line[-1]], DerivedModel):
            known(f"models.{line[-1]}.parent", "model", [model.parent], models)
            if model.parent in line:
                raise ValueError(f"{where}.parent: expected an ancestor, found a circle: {' → '.join([*line, model.parent])}")
            line.append(model.parent)
        if (branch := self.branch) is None:
            return
        parent = models[self.parent]
        if not isinstance(parent, TinyModel):
            raise ValueError(
                f"{where}.branch: expected a tiny parent, whose pretraining is known, found `{self.parent}` of kind "
                f"{parent.kind}: take `training`, which goes on from its weights"
            )
        if branch.corpus_seed == parent.pretraining.corpus_seed:
            raise ValueError(
                f"{where}.branch.corpus_seed: expected another seed than that of the parent's corpus, found "
                f"{branch.corpus_seed} for both: rows could come twice"
            )

    def uses(self) -> Iterable[str]:
        """What trains it further, and tries it out if its parent was; a branch is pretrained as its parent was."""
        return self.may_use() if self.training else ()

    @classmethod
    def may_use(cls) -> Iterable[str]:
        """The same."""
        return (FURTHER, PROBE)
