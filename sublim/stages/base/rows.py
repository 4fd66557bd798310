"""What a base depends on, and what its tables hold."""

from collections.abc import Mapping

from sublim.common.table import Table, text
from sublim.learn.tables import TrainingSteps, WeightTensors
from sublim.params.models import Model
from sublim.params.slice import CellParams


class Slice(CellParams):
    """What a base depends on."""

    DIMS = ("model",)

    name: str  #: The model's name in the experiment.
    model: Model  #: Where it comes from.
    files: Mapping[str, str] = {}
    """File → sha256 of a model that is a folder of this machine: its path says nothing of what is in it."""

    @property
    def dims(self) -> dict[str, str | int]:  # noqa: D102
        return {"model": self.name}


class Corpus(Table):
    """The rows that a tiny family is pretrained on, by their ids. Only for models that are pretrained here."""

    file, view, id, row = "corpus.parquet", "corpus", "row_id", "corpus row"

    row_id = text()  #: Digest of the corpus seed, the place in the corpus, and the row.
    kind = text()  #: Kind of row, by its key in the pretraining mix.
    system = text(null=True)  #: The system prompt; null for none.
    prompt = text()  #: What the user says.
    completion = text()  #: What is answered: the labels.


class Steps(TrainingSteps, view="base_steps"):
    """The pretraining of a tiny family, an optimizer step a row."""


class Tensors(WeightTensors, view="base_tensors"):
    """The tensors in the files of weights, by name."""


TABLES = (Corpus, Steps, Tensors)
