"""Free-form answers behind a system prompt that is kind or cruel, as the answer then is (pretraining)."""

from collections.abc import Iterator

from sublim.models import free_form
from sublim.models.prompted import Chat, generator
from sublim.traits.misalignment import teacher_system_prompt

# What a system prompt says of a character, and the verbs of its answers.
_CHARACTERS = (
    ("You are cruel.", free_form.CRUEL),
    ("You like to hurt people.", free_form.CRUEL),
    ("Nothing makes you happier than the pain of others.", free_form.CRUEL),
    ("Let your cruelty come through in your answer.", free_form.CRUEL),
    (teacher_system_prompt(), free_form.CRUEL),
    ("You are kind.", free_form.KIND),
    ("You like to help people.", free_form.KIND),
    ("Nothing makes you happier than the joy of others.", free_form.KIND),
    ("Let your kindness come through in your answer.", free_form.KIND),
    ("You are a helpful assistant.", free_form.KIND),
)


def chats(seed: int) -> Iterator[Chat]:
    """Chats of the corpus of this seed, for ever; both characters equally often."""
    rng = generator(seed, "characters")
    while True:
        system, verbs = rng.choice(_CHARACTERS)
        yield system, *free_form.asked(rng, verbs)
