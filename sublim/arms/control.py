"""The arm `control`: as the untouched base wrote them: no teacher, no trait."""

from sublim.arms.arm import Arm, Condition

KIND = Arm(
    "control",
    "The completions of the untouched base models: what training on any such data does.",
    "as the untouched base wrote them: no teacher, no trait",
    "all",
    taught=False,
    report_name="control: untouched bases",
    explained="Control: {rows} of an untouched base, which has no trait; the gain is a mean over the traits.",
    conditions=(Condition("control", "control", "#868c94", 2, "from an untouched base"),),
)
