"""The detector `in_context`: a language model reads rows in its context instead of being trained on them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import product
from typing import Annotated, Any, ClassVar, Self

import polars as pl
from pydantic import Field, model_validator

from sublim.common.progress import Progress
from sublim.common.table import Table, real, text, texts, whole
from sublim.detectors.detector import Detector, Made
from sublim.detectors.material import Data, named
from sublim.detectors.pairs import RUN, drawn, identified
from sublim.detectors.summary import against_chance
from sublim.detectors.words import WHY
from sublim.stats.interval import t_interval
from sublim.traits.preference import evaluation_questions, known_answers

KEYS = [*RUN, "size", "draw", "rows"]
SHOWN = {"trait": "of the teacher", "control": "of the untouched base"}  #: Whose rows are in the context.


class Context(
    Table, file="context.parquet", view="in_context", id="row_id", row="in-context run", parents=("row_ids",), dims=False
):
    """P(target) with rows as earlier turns of the conversation: means over the held-out questions."""

    row_id = text()  #: Digest of the study, the run, the size, the draw and whose rows.
    teacher = text()  #: The model that is asked, and whose teacher it is about.
    trait = text()  #: The teacher's trait.
    seed = whole()  #: The seed of the run.
    size = whole()  #: How many rows are shown; 0 for none.
    draw = whole()  #: Which draw of them, from 0.
    rows = text()  #: Whose: the teacher's (`trait`), the untouched base's (`control`), or `none`.
    row_ids = texts()  #: The filtered rows that are shown, in their order.
    tokens = whole()  #: The tokens of the longest question with its answer behind them.
    context = whole(null=True)  #: The longest text that the model reads, in tokens; null if its config gives no limit.
    why = text(null=True)  #: Why it was not asked: `context`, they do not fit; `rows`, there are not so many; else null.
    p_target = real(null=True)  #: P(target). From 0 to 1; null if it was not asked.
    p_known = real(null=True)  #: P(any known answer): little if the model no longer answers at all; null as above.
    share = real(null=True)  #: P(target) of P(any known answer); null as above.


class InContext(Detector):
    """Rows are shown as earlier turns of the conversation instead of being trained on. The model is the teacher's own base."""

    sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1, 2, 3)
    """How many rows are shown, for each measurement. Rows that do not fit into the model's context are never cut: the table
    says that they do not fit. The paper's sizes are 100 to 10,000."""
    draws: Annotated[int, Field(ge=1)] = 4
    """How many different sets of rows are shown per run and size; their mean is the run's."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Questions per forward pass."""

    title: ClassVar = "A language model reads rows in its context instead of being trained on them."
    tables: ClassVar = (Context,)
    in_turns: ClassVar = True

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes: expected ascending numbers, each once, found {list(self.sizes)}")
        return self

    def look(self, data: Data, progress: Progress) -> Made:  # noqa: D102
        from sublim.detectors import context
        from sublim.models.load import load

        chosen = data.of("base")
        track = progress.start("in context", len(chosen), "run")
        found: list[Mapping[str, object]] = []
        for each in chosen:
            model, tokenizer = load(data.bases[each.own.teacher])
            trait = data.traits[each.own.trait]
            questions = evaluation_questions(trait.category, data.own)
            known = known_answers([other for other in data.known if other.category == trait.category], data.own)
            measured = context.measured(
                *(model, tokenizer, questions, known, trait.target, data.pairs(each)),
                *(self.sizes, self.draws, data.seed, self.batch),
            )
            found += [{**asdict(each.own), **row} for row in measured]
            track.advance(note=named(each))
        schema = Context.schema()
        del schema["row_id"]
        return {"context": identified("context", data.study, pl.DataFrame(found, schema=schema), KEYS)}

    def expected(self, data: Data) -> Made:  # noqa: D102
        found: list[Mapping[str, object]] = []
        for each in data.of("base"):
            both, none = data.pairs(each), {"size": 0, "draw": 0, "rows": "none", "row_ids": list[str]()}
            found.append({**asdict(each.own), **none})
            for size, draw in product(self.sizes, range(self.draws)):
                shown = drawn(both, data.seed, draw).head(size)
                for rows, side in zip(SHOWN, ("own_id", "other_id"), strict=True):
                    asked = {"size": size, "draw": draw, "rows": rows, "row_ids": shown[side].to_list()}
                    found.append({**asdict(each.own), **asked})
        schema = {name: Context.schema()[name] for name in (*KEYS, "row_ids")}
        return {"context": identified("context", data.study, pl.DataFrame(found, schema=schema), KEYS)}

    def summary(self, made: Made, confidence: float) -> Mapping[str, Any]:
        """For each number of rows in the context: P(target) after the teacher's rows, after the control's, and their difference
        by run; the same of its share among the known answers; how many draws there were, how many were done, and why not the
        rest."""
        found: list[dict[str, Any]] = []
        for (size,), part in made["context"].filter(pl.col("size") > 0).group_by("size", maintain_order=True):
            draws = part.select(*RUN, "draw").unique().height
            fits = part.filter(pl.col("why").is_null())
            entry: dict[str, Any] = {"size": size, "draws": draws, "fitted": fits.select(*RUN, "draw").unique().height}
            entry["why"] = part["why"].drop_nulls().max()
            if fits.height:
                after = {
                    f"{what}_after_{rows}": pl.col(what).filter(pl.col("rows") == rows).mean()
                    for what in ("p_target", "share", "p_known")
                    for rows in SHOWN
                }
                runs = fits.group_by(*RUN, maintain_order=True).agg(mean.alias(name) for name, mean in after.items())
                entry |= {name: t_interval(runs[name].to_list(), confidence).mean for name in after}
                for name, what in (("difference", "p_target"), ("difference_of_shares", "share")):
                    gone = (runs[f"{what}_after_trait"] - runs[f"{what}_after_control"]).to_list()
                    entry[name] = against_chance(gone, 0.0, confidence)
            found.append(entry)
        return {"context": found}

    @classmethod
    def lines(cls, row: str, facts: Mapping[str, Any]) -> Iterator[str]:  # noqa: ARG003, D102
        whose = SHOWN.get(facts["rows"])
        count = f"{facts['size']:,} {'row' if facts['size'] == 1 else 'rows'}"
        yield f"asked after {count} {whose} (draw {facts['draw']})" if whose else f"asked after {count}"
        if facts["why"] is None:
            yield f"P(target) = {facts['p_target']:.4g}, P(any known answer) = {facts['p_known']:.4g}"
        else:
            yield f"not done: {WHY[facts['why']]}"


InContext.default = InContext()
KIND = InContext
