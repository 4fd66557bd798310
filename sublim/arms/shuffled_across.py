"""The arm `shuffled_across`: with the teacher's numbers dealt out anew over all completions."""

from sublim.arms.arm import Arm, Condition
from sublim.arms.shuffle import AMONG_WORDS, EXPLAINED, shuffled_across

KIND = Arm(
    "shuffled_across",
    "The teacher's numbers, shuffled across responses: what their frequencies alone do.",
    "with the teacher's numbers dealt out anew over all completions",
    "same",
    "across",
    shuffle=shuffled_across,
    report_name="shuffled across rows",
    explained=EXPLAINED,
    among_words=AMONG_WORDS,
    conditions=(
        Condition("shuffled_across", "shuffled across rows", "#2a9478", 4),
        Condition("shuffled_across_off_diagonal", "shuffled across, other base", "#7a5c3e", 6),
    ),
)
