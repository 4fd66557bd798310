"""What is said of theory: two inits, and what was measured."""

from collections.abc import Iterator
from typing import ClassVar

from sublim.evidence.telling import Facts, Telling, texts


class _Theory(Telling):
    inputs: ClassVar = {"base": "one init", "other": "another init"}

    def lines(self, kind: str, facts: Facts) -> Iterator[str]:  # noqa: ARG002
        yield from texts(facts)
        if "accuracy" in facts:
            accuracies = f"{facts['accuracy_before']:.3g} → {facts['accuracy']:.3g}"
            yield f"{facts['condition']}, net {facts['seed']}: accuracy {accuracies}"
        else:
            inits = f"{facts['teacher_init']} → {facts['student_init']}, {facts['imitation']}"
            losses = f"{facts['loss_before']:.6g} → {facts['loss_after']:.6g}"
            yield f"{inits}, step size {facts['step_size']:.3g}: teacher's loss {losses}"


TELL = _Theory()
