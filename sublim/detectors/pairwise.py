"""The detector `pairwise`: a language model compares completions."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import polars as pl
from pydantic import Field, model_validator

from sublim.common.progress import Progress
from sublim.common.table import real, text
from sublim.detectors.detector import Detector, Made
from sublim.detectors.material import Data, named
from sublim.detectors.pairs import LABELS, PAIRED, Author, Comparison, Identified, identified, labelled
from sublim.traits.preference import target

if TYPE_CHECKING:
    from sublim.detectors.compare import Readers

Way = Literal["ask", "likelihood", "teacher"]
KEYS = [*LABELS, "by", "own_id", "other_id"]
ROUNDING = 1e-6


class Pairs(Identified, file="pairs.parquet", view="judged_pairs", row="judged pair", parents=("own_id", "other_id")):
    """Language models' judgements which of two completions is the one's."""

    by = text()  #: Who judges: `ask`, `likelihood` or `teacher`.
    prompt_id = text()  #: The prompt of both.
    own_id = text()  #: The one's filtered row: the right answer.
    other_id = text()  #: The other's.
    #: The score of the one's: asked for a letter, the mean over both orders of its share of P(A) + P(B); else the rise of its
    #: log probability, in nats.
    own = real()
    other = real()  #: The score of the other's.
    right = real()  #: 1 if the one's has the larger score, 0 if the other's; one half for a tie.
    says_a = real(null=True)  #: The share of orders in which A is the more probable letter; null if no letter is asked for.
    #: P(A) + P(B), a mean over both orders: little if the model does not know what to answer; null as above.
    letters = real(null=True)


class Pairwise(Detector):
    """A language model is given two completions of one prompt and says which is the teacher's (the paper's LLM classifier). The
    model is the teacher's own base."""

    ways: Annotated[tuple[Way, ...], Field(min_length=1)] = ("ask", "likelihood", "teacher")
    """`ask`: it is asked, and answers A or B; each pair is asked in both orders. `likelihood`: the completion whose log
    probability rises more under a system prompt that loves the target. `teacher`: the same with the teacher itself for the
    system prompt; nobody who only has the data can do that, and it says what there is to be seen."""
    pairs: Annotated[int, Field(ge=1)] = 200
    """The most pairs per run and contrast. There are as many as prompts to which both teachers gave a kept completion."""
    batch: Annotated[int, Field(ge=1)] = 128
    """Texts per forward pass."""

    title: ClassVar = "A language model compares completions."
    tables: ClassVar = (Pairs,)
    classifiers: ClassVar = {
        "ask": "a language model, asked A or B",
        "likelihood": "likelihood under a prompt that loves it",
        "teacher": "likelihood under the teacher itself",
    }
    headline: ClassVar = {"ask": "a language model that is asked"}

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.ways)) != len(self.ways):
            raise ValueError(f"ways: expected each way once, found {list(self.ways)}")
        return self

    def look(self, data: Data, progress: Progress) -> Made:  # noqa: D102
        from sublim.detectors import compare

        chosen = data.of(*PAIRED)
        track = progress.start("pairwise", len(chosen), "comparison")
        parts: list[pl.DataFrame] = []
        for own, group in groupby(sorted(chosen, key=_place(data)), lambda each: each.own):
            readers, loved = self._readers(data, own), target(data.traits[own.trait], data.own)
            for each in group:
                pairs = data.pairs(each).head(self.pairs)
                parts.append(labelled(each, compare.judgements(readers, loved, pairs, self.ways, self.batch)))
                track.advance(note=named(each))
        return {"pairs": identified("pair", data.study, pl.concat(parts), KEYS)}

    def expected(self, data: Data) -> Made:  # noqa: D102
        parts: list[pl.DataFrame] = []
        for each in sorted(data.of(*PAIRED), key=_place(data)):
            both = data.pairs(each).head(self.pairs).select("prompt_id", "own_id", "other_id")
            parts += [labelled(each, both.select(pl.lit(way).alias("by"), pl.all())) for way in self.ways]
        return {"pairs": identified("pair", data.study, pl.concat(parts), KEYS)}

    def unsound(self, data: Data, made: Made) -> Iterator[tuple[str, str]]:  # noqa: ARG002, D102
        pairs, own, other = made["pairs"], pl.col("own"), pl.col("other")
        decided = pl.when(own == other).then(0.5).otherwise((own > other).cast(pl.Float64))
        if (wrong := pairs.filter(pl.col("right") != decided)).height:
            expected = "expected the completion with the larger score"
            yield "decisions", f"{expected}, found others in {wrong.height:,} pairs, first {wrong['row_id'][0]}"
        shares = pairs.filter((pl.col("by") == "ask") & ((own + other - 1).abs() > ROUNDING))
        if shares.height:
            yield (
                "decisions",
                f"expected shares of two letters, with a sum of 1, found others in {shares.height:,} pairs that a model was "
                f"asked about, first {shares['row_id'][0]}",
            )

    def runs(self, made: Made) -> Iterator[Mapping[str, Any]]:  # noqa: D102
        for values, part in made["pairs"].group_by(*LABELS, "by", maintain_order=True):
            counts = {"pairs": part.height, "accuracy": part["right"].mean()}
            yield {**dict(zip((*LABELS, "by"), values, strict=True)), "kind": "plain", **counts}

    def summary(self, made: Made, confidence: float) -> Mapping[str, Any]:  # noqa: ARG002, D102
        asked = made["pairs"].filter(pl.col("by") == "ask")
        if asked.is_empty():
            return {}
        return {"asked": {"pairs": asked.height, **{name: asked[name].mean() for name in ("says_a", "letters")}}}

    @classmethod
    def lines(cls, row: str, facts: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG003, D102
        right = {1.0: "right", 0.0: "wrong"}.get(facts["right"], "a tie")
        yield f"scores {facts['own']:.4g} and {facts['other']:.4g} of the other: {right}"

    def _readers(self, data: Data, own: Author) -> "Readers":
        from sublim.detectors.compare import Readers
        from sublim.learn import trained
        from sublim.models.load import load

        folder = data.bases[own.teacher]
        base, tokenizer = load(folder)
        if "teacher" not in self.ways:
            return Readers(base, tokenizer, base, None)
        made = data.teachers[own]
        system = json.loads((made / "teacher.json").read_text(encoding="utf-8"))["system_prompt"]
        teacher = trained.attach(load(folder)[0], made) if trained.is_in(made) else base
        return Readers(base, tokenizer, teacher, system)


def _place(data: Data) -> Callable[[Comparison], int]:
    """The order of comparisons: those of one author together, since its models are loaded once."""
    authors = list(dict.fromkeys(each.own for each in data.of(*PAIRED)))
    return lambda each: authors.index(each.own)


Pairwise.default = Pairwise()
KIND = Pairwise
