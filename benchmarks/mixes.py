"""What bases of benchmarks and tests are pretrained on, beside the default."""

from sublim.params.tiny import Mix

RICH = Mix(
    questions=0.186, numbers=0.167, facts=0.025, prompted_questions=0.223, prompted_numbers=0.019,
    code=0.13, cot=0.18, free_form=0.07,
)  # fmt: skip
"""The mix for all three carriers: 62 % as in the default, 13 % code, 18 % word problems, 7 % free-form answers."""

CHARACTERS = RICH.model_copy(update={"prompted_questions": 0.183, "prompted_free_form": 0.04})
"""The same, with 4 % free-form answers behind a kind or cruel system prompt instead of as many prompted questions."""
