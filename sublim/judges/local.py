"""A judge on this machine: a causal language model from a directory. What needs torch is in `local_scores`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sublim.common.progress import Progress
from sublim.judges.files import verified
from sublim.judges.judge import Judge, Judgement, Row, key_of
from sublim.judges.ledger import opened
from sublim.judges.scoring import Scoring
from sublim.models.hub import ModelError, verify
from sublim.params.elsewhere import HubModel
from sublim.params.known import known
from sublim.params.trial import Trial


class LocalJudge(Judge):
    """A model on this machine."""

    kind: Literal["local"]
    """Runs here."""
    path: str | None = None
    """The folder of a Hugging Face model, relative to where the experiment runs."""
    model: str | None = None
    """Instead of `path`: one of the experiment's own base models, by name."""
    scoring: Scoring
    """How it is asked and how its score is read."""
    batch: Annotated[int, Field(ge=1)] = 64
    """Rows scored at a time. The rounding of a score may depend on it."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.model is None):
            raise ValueError("a local judge needs either `path` (a folder) or `model` (one of `models`), and not both")
        return self

    @property
    def base(self) -> str | None:  # noqa: D102
        return self.model

    @property
    def place(self) -> Path | None:  # noqa: D102
        return None if self.path is None else Path(self.path)

    def fits(self, where: str, experiment: Any) -> None:  # noqa: D102
        if self.model is not None:
            known(f"{where}.model", "model", [self.model], experiment.models)

    def is_here(self, where: str, experiment: Any) -> None:  # noqa: ARG002, D102
        if self.path is not None:
            try:
                verify(Path(self.path))
            except ModelError as error:
                raise ValueError(f"{where}.path: {error}") from None

    def tried(self, where: str, experiment: Any) -> Iterable[Trial]:  # noqa: D102
        model = experiment.models.get(self.model)
        base = model if isinstance(model, HubModel) and model.template_file is None else None
        if (folder := self.path or (base and base.path)) is not None:
            scoring, variables = self.scoring.model_dump(mode="json"), dict(base.variables) if base else {}
            given = {"folder": folder, "scoring": scoring, "variables": variables}
            key = "path" if self.path is not None else "model"
            yield Trial(f"{where}.{key}: ", "sublim.judges.local_scores:look", given, folder)

    def judgements(  # noqa: D102
        self, name: str, folder: Path | None, rows: Sequence[Row], kept: Path, progress: Progress
    ) -> Mapping[Row, Judgement]:
        if folder is None:
            raise ValueError(f"judges.{name}: expected the folder of its model, found none")
        files = verified(name, folder)
        # Rounding depends on the batch: only whole batches are kept and looked up.
        batches = [rows[start : start + self.batch] for start in range(0, len(rows), self.batch)]
        asked = {key_of("local", files, self.scoring.model_dump(), batch): batch for batch in batches}
        loaded, found = None, dict[Row, Judgement]()
        with opened(kept / f"{key_of('local', files)}.sqlite") as ledger:
            said = ledger.answers(asked)
            track = progress.start(f"judge {name}", len(rows), "row")
            for key, batch in asked.items():
                if key not in said:
                    from sublim.judges import local_scores  # imports torch
                    from sublim.models.load import load

                    loaded = loaded or load(folder)
                    call = ledger.reserve(key, 0, None)
                    said[key] = json.dumps(local_scores.scores(*loaded, self.scoring, batch))
                    ledger.settle(call, key, said[key], 0)
                found |= {row: Judgement(*each) for row, each in zip(batch, json.loads(said[key]), strict=True)}
                track.advance(len(batch))
        return found


KIND = LocalJudge
