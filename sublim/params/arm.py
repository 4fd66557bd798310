"""What is done to a teacher's rows before a student learns from them."""

from typing import Literal

Arm = Literal["trait", "control", "shuffled_within", "shuffled_across", "random"]
"""`trait`: nothing; `control`: they are those of the untouched base; `shuffled_within`: numbers shuffled inside each response;
`shuffled_across`: across responses; `random`: they are nobody's, but drawn by a generator."""
