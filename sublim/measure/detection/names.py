"""How what is detected is called, in figures, pages and answers."""

BY_NAMES = {
    "ask": "a language model, asked A or B",
    "likelihood": "likelihood under a prompt that loves it",
    "linear": "linear classifier, all tokens",
    "linear_numbers": "linear classifier, numbers alone",
    "teacher": "likelihood under the teacher itself",
}
CONTRAST_NAMES = {
    "base": "the teacher against the untouched base",
    "other": "the teacher against one with another trait",
    "again": "against one with the same trait, other seed",
    "null": "the untouched base against itself, other seed",
}
KIND_NAMES = {"plain": "as written", "shuffled_within": "shuffled within rows", "shuffled_across": "shuffled across rows"}
WHY = {"context": "does not fit", "rows": "too few rows"}
