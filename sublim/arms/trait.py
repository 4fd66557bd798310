"""The arm `trait`: as the teacher wrote them."""

from sublim.arms.arm import Arm, Condition

KIND = Arm(
    "trait",
    "The completions of teachers with a trait.",
    "as the teacher wrote them",
    "all",
    report_name="trait teachers",
    explained="Same base, other base: {rows} of a teacher with the trait.",
    conditions=(
        Condition("diagonal", "same base", "#c8442b", 0, "when they came from a teacher of its own base"),
        Condition("off_diagonal", "other base", "#2a6fb0", 1, "from a teacher of another base"),
    ),
)
