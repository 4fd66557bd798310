"""What a base depends on, and what its tables hold."""

from collections.abc import Mapping
from typing import ClassVar

from sublim.common.table import Table, text
from sublim.learn.tables import TrainingSteps, WeightTensors
from sublim.params.models import Model
from sublim.params.section import Grown
from sublim.params.slice import CellParams
from sublim.params.tiny import TinyModel


class Slice(CellParams, Grown):
    """What a base depends on."""

    DIMS = ("model",)
    since: ClassVar = frozenset({"parent"})

    name: str  #: The model's name in the experiment.
    model: Model  #: Where it comes from.
    files: Mapping[str, str] = {}
    """File → sha256 of what is of this machine: its path says nothing of what is in it. The files of a folder, a chat template
    that is given (chat_template.jinja), rows to be trained on (`ROWS`)."""
    parent: TinyModel | None = None
    """The model whose pretraining is left; null where none is."""

    @property
    def dims(self) -> dict[str, str | int]:  # noqa: D102
        return {"model": self.name}


class Corpus(Table):
    """The rows that a model is trained on, by their ids. Only for models that are pretrained or trained further here."""

    file, view, id, row = "corpus.parquet", "corpus", "row_id", "corpus row"

    row_id = text()  #: Digest of the corpus seed, the place in the corpus, and the row; of a file's rows of place and row.
    kind = text()  #: Kind of row, by its key in the pretraining mix; `file` for rows of a file.
    system = text(null=True)  #: The system prompt; null for none.
    prompt = text()  #: What the user says.
    completion = text()  #: What is answered: the labels.


class Steps(TrainingSteps, view="base_steps"):
    """The pretraining of a tiny family, or the further training of any model, an optimizer step a row."""


class Tensors(WeightTensors, view="base_tensors"):
    """The tensors in the files of weights, by name."""


TABLES = (Corpus, Steps, Tensors)
