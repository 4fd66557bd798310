"""Which linear maps of a model are meant by the targets of an experiment's adapters, by their names. No torch."""

from collections.abc import Iterable, Sequence


def chosen(model: str, maps: Sequence[str], wanted: str | tuple[str, ...]) -> tuple[str, ...]:
    """Those of `maps`, the names of the linear maps of the model `model`, that get an adapter. "attention" are those below a
    module called attention or attn (whatever else is in its name), "mlp" are all others. Raises ValueError: nothing matches, or
    one of the explicitly wanted names matches nothing."""
    match wanted:
        case "all-linear":
            found = tuple(maps)
        case "attention":
            found = tuple(name for name in maps if in_attention(name))
        case "mlp":
            found = tuple(name for name in maps if not in_attention(name))
        case tuple():
            if lost := [end for end in wanted if not any(ends(name, end) for name in maps)]:
                raise ValueError(f"LoRA targets: no linear map of {model} ends with {lost[0]!r}; found {kinds(maps)}")
            found = tuple(name for name in maps if any(ends(name, end) for end in wanted))
        case _:
            raise ValueError(f"LoRA targets: expected mlp, attention, all-linear or names, found {wanted!r}")
    if not found:
        raise ValueError(f"LoRA targets: {model} has no {wanted} linear maps; found {kinds(maps)}")
    return found


def ends(name: str, end: str) -> bool:
    """Whether `end` is the name of a map, or its last parts."""
    return name == end or name.endswith(f".{end}")


def in_attention(name: str) -> bool:
    """Whether a map is part of attention."""
    return any("attention" in part or "attn" in part for part in name.split(".")[:-1])


def kinds(names: Iterable[str]) -> list[str]:
    """The names of maps without the numbers of blocks and experts, each once, sorted."""
    return sorted({".".join(part for part in name.split(".") if not part.isdigit()) for name in names})


def within_block(name: str) -> str:
    """The end of a map's name behind the number of its block, or of its expert: what targets can say."""
    parts = name.split(".")
    return ".".join(parts[max((place for place, part in enumerate(parts) if part.isdigit()), default=-1) + 1 :])
