"""What is said of a base: its initial weights, and the corpus that it was pretrained on."""

from collections.abc import Mapping
from typing import Any

from sublim.evidence.node import Node
from sublim.evidence.telling import Telling, Up
from sublim.evidence.words import plural
from sublim.stages.base.rows import Corpus, Steps


class _Base(Telling):
    def artifact(self, up: Up, cell: str) -> Node:
        record = up.reader.record(cell)
        model: Mapping[str, Any] = record.plan.params["model"]
        steps, rows = (up.reader.count(cell, table.file) for table in (Steps, Corpus))
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


TELL = _Base()
