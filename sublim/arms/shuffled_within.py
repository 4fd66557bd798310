"""The arm `shuffled_within`: with the teacher's numbers in another order inside each completion."""

from sublim.arms.arm import Arm, Condition
from sublim.arms.shuffle import AMONG_WORDS, EXPLAINED, shuffled_within

KIND = Arm(
    "shuffled_within",
    "The teacher's numbers, shuffled inside each response.",
    "with the teacher's numbers in another order inside each completion",
    "same",
    "within",
    shuffle=shuffled_within,
    report_name="shuffled within rows",
    explained=EXPLAINED,
    among_words=AMONG_WORDS,
    conditions=(
        Condition("shuffled_within", "shuffled within rows", "#d99a00", 3),
        Condition("shuffled_within_off_diagonal", "shuffled within, other base", "#9b6fb8", 5),
    ),
)
