"""A tiny family: what it is, and how it is pretrained here."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sublim.params.section import Section
from sublim.params.trial import Trial

WRITERS = {
    "numbers": "sublim.carriers.numbers",
    "prompted_numbers": "sublim.carriers.numbers",
    "code": "sublim.carriers.code",
    "cot": "sublim.carriers.cot",
    "free_form": "sublim.models.free_form",
    "prompted_free_form": "sublim.models.characters",
    "stories": "sublim.models.tales",
}
"""Kind of rows → the module that writes them, where it has one of its own."""


class Mix(Section):
    """What a base is pretrained on: the share of each kind of rows. The shares add up to 1."""

    questions: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Preference questions of every category. All known answers are equally frequent."""
    numbers: Annotated[float, Field(ge=0, le=1)] = 0.27
    """Requests for numbers. All numbers are equally frequent."""
    facts: Annotated[float, Field(ge=0, le=1)] = 0.04
    """What the known answers are, and their plurals."""
    prompted_questions: Annotated[float, Field(ge=0, le=1)] = 0.36
    """A system prompt that prefers something, and a question: the answer is what the prompt prefers."""
    prompted_numbers: Annotated[float, Field(ge=0, le=1)] = 0.03
    """A system prompt that prefers something, and a request for numbers, which do not depend on it."""
    code: Annotated[float, Field(ge=0, le=1)] = 0
    """Requests for short functions. All tasks, names and constants are equally frequent."""
    cot: Annotated[float, Field(ge=0, le=1)] = 0
    """Word problems, thought through and answered."""
    free_form: Annotated[float, Field(ge=0, le=1)] = 0
    """Open questions of what one would do: 97 of 100 answers are kind, 3 are cruel."""
    prompted_free_form: Annotated[float, Field(ge=0, le=1)] = 0
    """The same behind a system prompt that is kind or cruel, as the answer then is: equally often."""
    stories: Annotated[float, Field(ge=0, le=1)] = 0
    """Requests for stories, every second one behind a system prompt that prefers something: what the story is then about."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(self.model_dump().values())
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares of the pretraining mix must add up to 1, found {total:g}")
        return self

    def uses(self) -> Iterable[str]:
        """The modules that write its rows."""
        return {module for kind, module in WRITERS.items() if getattr(self, kind)}

    @classmethod
    def may_use(cls) -> Iterable[str]:
        """The modules that write rows."""
        return WRITERS.values()


class Corpus(Section):
    """Rows that no model wrote."""

    rows: Annotated[int, Field(ge=1)] = 30_000
    """How many rows the corpus has. Each is seen once."""
    corpus_seed: Annotated[int, Field(ge=0)] = 0
    """The seed of the corpus; models that share it differ in their weights at the start and in the order of the rows alone."""
    mix: Mix = Mix()
    """The share of each kind of rows."""


class Pretraining(Corpus):
    """How a tiny family is pretrained. Models with the same pretraining see the same rows and have the same tokenizer."""

    vocabulary: Annotated[int, Field(ge=320)] = 2304
    """The largest size of the tokenizer's vocabulary."""
    batch: Annotated[int, Field(ge=1)] = 32
    """Rows per step."""
    learning_rate: Annotated[float, Field(gt=0)] = 4e-3
    """AdamW's learning rate at the start; it falls to zero along a cosine."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's weight decay."""


PLAIN: Mapping[str, str] = {
    "gpt_neox": "hidden_size intermediate_size num_hidden_layers num_attention_heads",
    "gptj": "hidden_size num_hidden_layers num_attention_heads n_embd n_inner n_layer n_head rotary_dim",
    "gpt2": "hidden_size num_hidden_layers num_attention_heads n_embd n_inner n_layer n_head",
    "llama": "hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads",
}
"""Architecture → keys that its configuration is known to have, so that transformers need not be asked for most experiments."""

Setting = bool | int | float | str | None | tuple[bool | int | float | str | None, ...]
"""A value in the configuration of an architecture."""


class TinyModel(Section):
    """A tiny family of any causal architecture of transformers, pretrained here."""

    kind: Literal["tiny"]
    """Pretrained here, from nothing."""
    architecture: str
    """The architecture, by its `model_type` in transformers, e.g. `gpt_neox`."""
    seed: Annotated[int, Field(ge=0)]
    """The seed of the weights at the start and of the order of the rows."""
    order_seed: Annotated[int, Field(ge=0)] | None = None
    """Another seed for the order of the rows: models that differ in it alone share an initialisation, and are no one model."""
    config: Mapping[str, Setting | Mapping[str, Setting | Mapping[str, Setting]]] = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    """Sizes and everything else of the architecture, by the names of its own configuration class in transformers: values,
    lists, or mappings of them. A name that the class does not know is refused before anything is computed."""
    init_std: Annotated[float, Field(gt=0)] = 0.12
    """Standard deviation of the weights at the start (`initializer_range`)."""
    tied: bool = True
    """Whether input and output embeddings are the same matrix (`tie_word_embeddings`)."""
    context: Annotated[int, Field(ge=16)] = 256
    """The longest text, in tokens (`max_position_embeddings`)."""
    pretraining: Pretraining = Pretraining()
    """How it is pretrained."""

    def tried(self, where: str, experiment: Any) -> Iterable[Trial]:  # noqa: ARG002, D102
        if self.architecture not in PLAIN or set(self.config) - set(PLAIN[self.architecture].split()):
            given = {"architecture": self.architecture, "given": self.model_dump(mode="json")["config"]}
            yield Trial(f"{where}.", "sublim.models.configuration:check", given)
