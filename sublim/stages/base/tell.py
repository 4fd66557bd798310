"""What is said of a base: its initial weights, and the corpus that it was pretrained on."""

from collections.abc import Mapping
from typing import Any, ClassVar

from sublim.evidence.node import Node
from sublim.evidence.telling import Telling, Up
from sublim.evidence.words import plural
from sublim.stages.base.rows import Corpus, Steps


class _Base(Telling):
    inputs: ClassVar = {"parent": "comes of"}

    def artifact(self, up: Up, cell: str) -> Node:
        record = up.reader.record(cell)
        model: Mapping[str, Any] = record.plan.params["model"]
        steps, rows = (up.reader.count(cell, table.file) for table in (Steps, Corpus))
        if record.inputs:
            return self._derived(up, cell, model, steps, rows)
        facts: dict[str, Any] = {"architecture": model.get("architecture"), "init_seed": model.get("seed"), "steps": steps}
        if model.get("order_seed") is not None:
            facts["order_seed"] = model["order_seed"]
        known = [name for name in ("init_seed", "order_seed") if facts.get(name) is not None]
        seeds = "".join(f"{name.replace('_', ' ')} {facts[name]}, " for name in known)
        line = f"{seeds}{facts['architecture'] or 'made elsewhere'}, {plural(steps or 0, 'pretraining step')} here"
        if rows is None:
            return Node("artifact", cell, facts=facts | {"source": model}, lines=(line,))
        seed, sha256 = model.get("pretraining", {}).get("corpus_seed"), record.outputs[Corpus.file].sha256
        corpus = Node(
            "corpus",
            f"{cell}/{Corpus.file}",
            "pretrained on",
            {"count": rows, "corpus_seed": seed, "sha256": sha256},
            words=f"a corpus of {plural(rows, 'row')}",
            lines=(f"corpus seed {seed}, sha256 {sha256[:12]}",),
        )
        return Node("artifact", cell, facts=facts, next=(corpus,), lines=(line,))

    def _derived(self, up: Up, cell: str, model: Mapping[str, Any], steps: int | None, rows: int | None) -> Node:
        branch: Mapping[str, Any] | None = model.get("branch")
        facts = {name: model.get(name) for name in ("parent", "branch", "training")} | {"steps": steps, "rows": rows}
        line = (
            f"leaves the pretraining of its parent at {branch['at']:.0%}, goes on in the order of seed {branch['order_seed']}"
            if branch
            else f"its parent, trained further: {plural(steps or 0, 'step')} on {plural(rows or 0, 'row')} that no model wrote"
        )
        return Node("artifact", cell, facts=facts, next=up.inputs(cell), lines=(line,))


TELL = _Base()
