"""What lies in an artifact beside the rows of its tables: only files that its stage declares, nothing that runs when it is
looked at or loaded, and Parquet files that say of their rows what these are.

Readers believe these things unseen: a browser runs a script, transformers code of a model's own, and a query skips the parts of
a table that cannot have what it looks for, by statistics that nothing keeps in step with the rows.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from xml.etree import ElementTree

import polars as pl

from sublim.common import parquet
from sublim.common.files import sha256
from sublim.engine.environment import describe
from sublim.engine.stage import stage_of
from sublim.evidence.accident import Accident, short
from sublim.evidence.finding import CORRUPTED, UNVERIFIABLE
from sublim.evidence.source import Source
from sublim.models.hub import asks_to_run

SHAPES = frozenset({"svg", "g", "rect", "path", "line", "text", "tspan", "title"})
LOOKS = frozenset({
    "class", "role", "version", "viewBox", "width", "height", "transform", "d", "x", "y", "x1", "x2", "y1", "y2", "dx", "dy",
    "display", "opacity", "pointer-events", "text-anchor", "fill", "fill-opacity", "stroke", "stroke-dasharray",
    "stroke-miterlimit", "stroke-opacity", "stroke-width", "font-family", "font-size", "font-style", "font-weight",
    "aria-hidden", "aria-label", "aria-roledescription",
})  # fmt: skip
"""What charts consist of: nothing of it can run, load or link anything."""
CALLED = frozenset({"translate", "rotate", "scale", "matrix", "rgb", "rgba", "hsl"})
"""The functions that are called in values: of transforms and of colours."""
_SAID = frozenset({"aria-label", "aria-roledescription"})  #: Attributes that are text.
_SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
_NAMESPACE = "{http://www.w3.org/2000/svg}"


def check(source: Source, cell: str) -> Iterator[Accident]:
    """What is in the files of `cell` that has no place there."""
    stage = stage_of(cell)
    for name in sorted(source.record(cell).outputs):
        if not stage.declares(name):
            yield Accident("files", f"expected files that the stage {stage.name} has, found also {name}")
        elif name.endswith(".parquet"):
            yield from _as_written(source, cell, name)
        elif name.endswith((".svg", ".html")):
            yield from drawn(source.path(cell, name))
        elif name.endswith("config.json") and (found := asks_to_run(json.loads(source.path(cell, name).read_bytes()))):
            text = f"{name}: expected nothing that asks to run code which comes with the model, found {found}"
            yield Accident("code of a model", text)


def _as_written(source: Source, cell: str, name: str) -> Iterator[Accident]:
    """Whether a Parquet file is what its rows are written as: then what it says of them is true."""
    path, record = source.path(cell, name), source.record(cell)
    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return  # the check of the table itself says so
    with TemporaryDirectory() as folder:
        again = Path(folder) / name
        parquet.write(frame, again)
        if sha256(again) == record.outputs[name].sha256:
            return
        expected, found = (_statistics(each) for each in (again, path))
    places = sorted(expected.keys() | found.keys())
    wrong = next((place for place in places if expected.get(place) != found.get(place)), None)
    # Another version of the library may write the same rows otherwise.
    same = _writer(record.environment) == _writer(describe(None))
    if wrong is not None:
        said = f"expected {wrong[1]} of row group {wrong[0]} as {short(expected.get(wrong))}, found {short(found.get(wrong))}"
        yield Accident("statistics", f"{name}: {said} (minimum, maximum, nulls)", CORRUPTED if same else UNVERIFIABLE)
    elif same:
        yield Accident("statistics", f"{name}: expected the bytes that its rows are written as, found others")


def _writer(environment: Mapping[str, Any]) -> tuple[object, object]:
    packages: Mapping[str, object] = environment.get("packages") or {}
    return packages.get("polars"), environment.get("platform")


def _statistics(path: Path) -> dict[tuple[int, str], tuple[object, ...]]:
    """Row group and column → minimum, maximum and number of nulls, as the file says."""
    from pyarrow import parquet as arrow  # pyright: ignore[reportMissingTypeStubs]  # only where a file is odd

    whole = cast("Any", arrow).read_metadata(path)
    groups = [(n, whole.row_group(n)) for n in range(whole.num_row_groups)]
    columns = [(n, group.column(each)) for n, group in groups for each in range(group.num_columns)]
    of = [(n, each.path_in_schema, each.statistics) for n, each in columns]
    return {(n, name): (each.min, each.max, each.null_count) if each is not None else () for n, name, each in of}


def drawn(path: Path) -> Iterator[Accident]:
    """Whether the drawings of a file hold shapes and text alone. The rest of a page is compared with the page made again."""
    text = path.read_text(encoding="utf-8")
    for drawing in [text] if path.suffix == ".svg" else _SVG.findall(text):
        if found := _foreign(drawing):
            yield Accident("figures", f"{path.name}: expected shapes and text alone, found {found}")
            return


def _foreign(drawing: str) -> str | None:
    """What is in an SVG that no chart has; None if nothing."""
    if odd := re.search(r"<[!?].{0,40}", drawing):  # entities, and what a page would read otherwise than XML does
        return odd.group()
    try:
        root = ElementTree.fromstring(drawing)  # noqa: S314 - without entities
    except ElementTree.ParseError as error:
        return f"no SVG ({error})"
    for element in root.iter():
        name = element.tag.removeprefix(_NAMESPACE)
        if name not in SHAPES:
            return f"<{name}>"
        for attribute, value in element.attrib.items():
            if attribute not in LOOKS or _calls(attribute, value):
                return f"<{name} {attribute}={short(value)}>"
    return None


def _calls(attribute: str, value: str) -> bool:
    """Whether a value of an attribute is more than a look: it calls what could load something, under whatever name."""
    named = {name.lower() for name in re.findall(r"([^\s,()]*)\s*\(", value)}
    return attribute not in _SAID and ("\\" in value or not named <= CALLED)
