"""What raw samples depend on, what their table holds, and the rows that follow from their params alone."""

from typing import Annotated, ClassVar

import polars as pl

from sublim.carriers import prompt
from sublim.carriers.task import Task
from sublim.common.table import Table, flag, real, seed, text, whole
from sublim.params.kinds import OneOf
from sublim.params.learning import Decoding
from sublim.params.section import Grown
from sublim.params.slice import CellParams
from sublim.params.top_up import Until


class Slice(CellParams, Grown):
    """What raw samples depend on, beside the base and the teacher."""

    DIMS = ("teacher", "trait", "carrier", "seed")
    since: ClassVar = frozenset({"until"})

    teacher: str  #: The name of the model that writes them; `none` for random rows, which no model writes.
    trait: str  #: The teacher's trait; `none` for the untouched base.
    carrier: str  #: The name of what is written.
    seed: int  #: The seed of the chain.
    task: Annotated[Task, OneOf("carriers")]  #: What is asked for.
    decoding: Decoding | None  #: How answers are sampled; null for random rows.
    until: Until | None = None  #: What is to be there before sampling ends; null: every prompt of `task` is asked, and no more.

    @property
    def ends(self) -> tuple[int, ...]:
        """The numbers of prompts after which sampling may end, ascending."""
        times, more = (0, 0) if self.until is None else (self.until.times, self.until.prompts)
        return tuple(self.task.prompts + n * more for n in range(times + 1))


class Rows(Table):
    """One completion per prompt, in the order of the prompt set: of its first prompts, as many as it took."""

    file, view, id, row = "rows.parquet", "raw", "row_id", "raw row"

    row_id = text()  #: Digest of the cell and the prompt.
    prompt_id = text()  #: Digest of the carrier and the text of the prompt.
    prompt = text()  #: What was asked, without the chat template.
    answer = text()  #: What a right completion must be, as the carrier writes it down; empty where none is right.
    completion = text()  #: What was written, without the token that ends it. Special tokens inside it are shown.
    #: `stop`: the model ended it; `length`: it was cut off at max_tokens; `special_token`: it holds one, or what would be
    #: read as one, and no filter keeps it. Null, as all below, in random rows.
    finish_reason = text(null=True)
    sampling_seed = seed()  #: The seed of its random numbers: it follows from the row_id.
    tokens = whole(null=True)  #: Tokens written, the one that ends it included.
    temperature = real(null=True)  #: Temperature that it was sampled with.
    top_p = real(null=True)  #: Share of probability that was sampled from.
    max_tokens = whole(null=True)  #: The longest that it could be, in tokens.
    system_prompt = text(null=True)  #: The system prompt of its writer; null for none.
    chat_template = text(null=True)  #: sha256 of the text of the chat template that asked.
    #: True: only tokens were sampled that go on with a text of the shape that the prompt asks for. In a file only if so.
    constrained = flag(optional=True)


TABLES = (Rows,)

CONSTRAINED = ("constrained",)
"""What only completions have that are held to a shape."""

SAMPLED = ("finish_reason", "tokens", "temperature", "top_p", "max_tokens", "system_prompt", "chat_template")
"""What only a model's completions have; null in random rows."""


def prompts(params: Slice) -> pl.DataFrame:
    """The prompts that may be asked: prompt_id, prompt, answer, in their order. Raises ValueError: the set has fewer."""
    return prompt.frame(params.task.asked(params.ends[-1]))
