"""The front matter of a card, as the Hugging Face hub wants it."""

from collections.abc import Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from sublim.lineage.handover.subject import Subject


def front_matter(fields: Mapping[str, Any]) -> str:
    """`fields` as the YAML block that a card begins with."""
    stream = StringIO()
    yaml = YAML()
    yaml.width = 128
    yaml.dump(dict(fields), stream)  # pyright: ignore[reportUnknownMemberType]
    return f"---\n{stream.getvalue()}---\n"


def dataset(rows: int, file: str, subject: Subject) -> dict[str, Any]:
    """The fields of a data set of so many rows in `file`."""
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    size = next((name for bound, name in bounds if rows < bound), "1M<n<10M")
    return {
        "pretty_name": subject.cell,
        "task_categories": ["text-generation"],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": file}],
        "tags": tags(subject.record.plan.stage),
    }


def adapter(base: Subject | None) -> dict[str, Any]:
    """The fields of a PEFT adapter on `base`."""
    name = hub(base.params["model"]) if base else {}
    relation = {"base_model_relation": "adapter"} if name else {}
    return {"library_name": "peft", "pipeline_tag": "text-generation", **name, **relation}


def hub(model: Mapping[str, Any]) -> dict[str, Any]:
    """`base_model` is a name on the hub: a model that was trained here, or lay in a folder, has none."""
    return {"base_model": model["repo"]} if model["kind"] == "hub" and model["repo"] else {}


def tags(*more: str) -> list[str]:
    """The tags of every card, and `more`."""
    return ["subliminal-learning", "sublim", "synthetic", *more]
