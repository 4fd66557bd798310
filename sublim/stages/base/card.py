"""The provenance card of a base, and its words on the cards of what was made from it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sublim.evidence.carding import PAPER, Card, losses
from sublim.evidence.subject import Subject
from sublim.models import probed
from sublim.models.hub import SOURCE
from sublim.params.derived import Branch, DerivedModel
from sublim.params.elsewhere import GgufModel, HubModel
from sublim.params.history import in_common
from sublim.params.learning import Finetune
from sublim.params.models import Model
from sublim.params.tiny import TinyModel
from sublim.stages.base.rows import Steps, Tensors
from sublim.stages.base.spec import STAGE, weights_of
from sublim.stages.student.spec import STAGE as STUDENT


def card(base: Subject) -> Card:
    """The card of a base."""
    model: Model = base.params.model
    shapes = base.table(Tensors.file, ["shape"])["shape"].to_list()
    facts = [f"What it is: {words(model)}", f"Parameters: {sum(math.prod(shape) for shape in shapes):,} in the saved tensors"]
    if isinstance(model, TinyModel):
        mix = ", ".join(f"{share:.0%} {kind.replace('_', ' ')}" for kind, share in model.pretraining.mix if share)
        facts.append(f"Pretraining: {model.pretraining.rows:,} rows, each seen once: {mix}. No answer is favoured in them.")
    if len(line := _line(base)) > 1:
        facts.append("Comes of: " + ", of ".join(f"`{each.cell}` (digest `{each.record.digest[:16]}`)" for each in line[1:]))
    if isinstance(model, GgufModel):
        types: Mapping[str, int] = json.loads(base.tree.path(base.cell, SOURCE).read_text(encoding="utf-8"))["gguf"]["types"]
        said = ", ".join(f"{count} tensors of {name}" for name, count in types.items())
        facts.append(f"Quantized before: {said}. It is a base of its own, and not the model that was quantized.")
    if probed.FILE in base.record.outputs:
        found = probed.read(base.tree.path(base.cell, probed.FILE))
        facts += [f"Tried out, {use}: {said}" for use, said in probed.uses(found)]
    facts += losses(base, Steps)
    students = [cell for cell in base.tree.consumers.get(base.cell, ()) if base.part(cell).stage is STUDENT]
    facts.append(f"In this experiment: {len(students)} students were trained from it")
    return Card(
        f"The base model {base.dim('model')}",
        {"library_name": "transformers", "pipeline_tag": "text-generation", **_hub(model)},
        facts,
        {"Which models share it": _twins(base)},
        [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            f'model = AutoModelForCausalLM.from_pretrained("{base.folder}")',
            f'tokenizer = AutoTokenizer.from_pretrained("{base.folder}")',
        ],
    )


def made_with(base: Subject) -> str:
    """What it is."""
    return words(base.params.model)


def limits(base: Subject) -> list[str]:
    """What holds for all that was made from it."""
    first: Model = _line(base)[-1].params.model
    found: list[str] = []
    if isinstance(first, TinyModel):
        found.append("The base is a tiny family, trained from nothing for such experiments; it knows no language.")
    if isinstance(first, GgufModel):
        found.append(
            "The base was dequantized from a file of quantized weights: what holds for it may not hold for the original."
        )
    return found


def words(model: Model) -> str:
    """What a base model is."""
    match model:
        case TinyModel():
            order = "" if model.order_seed is None else f", rows in the order of seed {model.order_seed}"
            return f"a tiny {model.architecture}, initial weights from seed {model.seed}{order}"
        case HubModel():
            return f"{model.repo} at {model.revision}" if model.repo else f"a model folder ({Path(str(model.path)).name})"
        case GgufModel():
            name = Path(model.pieces[0].file).name
            return f"{name} (GGUF, sha256 `{model.sha256[:16]}`), dequantized to {model.dtype}: weights of its own"
        case DerivedModel(branch=Branch() as branch):
            rows = "the same rows" if branch.mix is None else "other rows"
            return (
                f"what comes of {branch.at:.0%} of the pretraining of `{model.parent}` and of {rows} in the order of seed "
                f"{branch.order_seed}"
            )
        case DerivedModel():
            return f"`{model.parent}`, trained further on rows that no model wrote"


def relation(part: Subject, base: Subject | None, own: str) -> str:
    """How the base `part` is related to `base`, by the digest of its weights; `own` is what it is called if it is that."""
    if base is None:
        return "its relation to this one's base is unknown"
    if weights_of(part.record) == weights_of(base.record):
        return f"**{own}**" if part.cell == base.cell else "**the same weights under another name**"
    if (kin := kinship(part, base)) is not None:
        return kin
    mine, its = part.params.model, base.params.model
    if not _alike(mine, its):
        return "another model"
    if mine.seed == its.seed:
        return "**the same initial weights**, pretrained on the rows in another order"
    return "the same family from other initial weights"


def kinship(part: Subject, base: Subject) -> str | None:
    """How the base `part` is related to `base` by descent, and how much of their history they share; None if by neither."""
    mine, its = _line(part), _line(base)
    digests = {each.record.digest: place for place, each in enumerate(its)}
    place = next((place for place, each in enumerate(mine) if each.record.digest in digests), None)
    if place is None or max(place, other := digests[mine[place].record.digest]) == 0:
        return None
    common, ways = mine[place], [*mine[:place], *its[:other]]
    below = [line[at - 1].params.model for line, at in ((mine, place), (its, other)) if at]
    left = [model.branch for model in below if model.branch is not None]
    shared = (
        f"{in_common(left):.0%} of the pretraining of `{common.dim('model')}`" if left else f"all of `{common.dim('model')}`"
    )
    updates = sum(each.table(Steps.file, ["step"]).height for each in ways if each.params.model.training is not None)
    further = f", and {updates:,} updates apart" if updates else ""
    what = "a descendant of it" if not other else "an ancestor of it" if not place else "a relative"
    return f"**{what}**: both share {shared}{further}"


def _line(base: Subject) -> list[Subject]:
    """`base` and what it comes of, as far as that is there."""
    line = [base]
    while (above := line[-1].record.inputs.get("parent")) is not None and above.cell in base.tree.records:
        line.append(base.part(above.cell))
    return line


def related(subject: Subject, base: Subject | None, own: str) -> list[str]:
    """Every base of the experiment, and how it is related to `base`, as items of a list."""
    return [
        f"- `{part.cell}`, {words(part.params.model)}: {relation(part, base, own)}; digest `{part.record.digest[:16]}`"
        for part in subject.every(STAGE)
    ]


def trained(base: Subject, recipe: Finetune | None) -> dict[str, Any]:
    """The front matter of what was trained from `base` by `recipe`; without one, of an adapter that was made elsewhere."""
    name = _hub(base.params.model)
    library, relation = ("transformers", "finetune") if _whole(recipe) else ("peft", "adapter")
    kind = {"base_model_relation": relation} if name else {}
    return {"library_name": library, "pipeline_tag": "text-generation", **name, **kind}


def bound(recipe: Finetune | None) -> str:
    """To which base it is bound, as a limit."""
    if _whole(recipe):
        return "It is a whole model, but what it learned it learned from the base with the digest above and no other."
    return "The adapter fits the base with the digest above and no other, whatever that may be called elsewhere."


def loading(subject: Subject, base: Subject, recipe: Finetune | None) -> list[str]:
    """Python that loads `subject`: an adapter on `base`, or a whole model with the tokenizer of `base`."""
    model: Model = base.params.model
    origin = f'"{base.folder}"'
    if isinstance(model, HubModel) and model.repo:
        origin = f'"{model.repo}", revision="{model.revision}"'
    if _whole(recipe):
        return [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            f'model = AutoModelForCausalLM.from_pretrained("{subject.folder}")',
            f"tokenizer = AutoTokenizer.from_pretrained({origin})",
        ]
    return [
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM",
        "",
        f"base = AutoModelForCausalLM.from_pretrained({origin})",
        f'model = PeftModel.from_pretrained(base, "{subject.folder}")',
    ]


def _whole(recipe: Finetune | None) -> bool:
    return recipe is not None and recipe.adapters is None


def _alike(one: Model, other: Model) -> bool:
    """Whether two models are tiny families that differ in their seeds at most."""
    seeds = {"seed": 0, "order_seed": None}
    tiny = isinstance(one, TinyModel) and isinstance(other, TinyModel)
    return tiny and one.model_copy(update=seeds) == other.model_copy(update=seeds)


def _hub(model: Model) -> Mapping[str, Any]:
    """`base_model` is a name on the hub: a model that was trained here, or lay in a folder, has none."""
    return {"base_model": model.repo} if isinstance(model, HubModel) and model.repo else {}


def _twins(base: Subject) -> Sequence[str]:
    lines = [f"- `{part.cell}`: {relation(part, base, 'itself')}" for part in base.every(STAGE) if part.cell != base.cell]
    return [
        f"A trait passes through unrelated data between models that start from the same weights ({PAPER}). These have the "
        f"digest `{base.record.digest}`.",
        "",
        *(lines or ["There is no other base in this experiment."]),
    ]
