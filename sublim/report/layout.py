"""What all pages share: how they are rendered, their style, tables and legends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent
DIGITS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Shown:
    """A table of a page: the places of its columns of numbers are set right-aligned."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    numeric: frozenset[int] = field(default_factory=lambda: frozenset[int]())
    caption: str = ""


def rendered(template: str, **values: object) -> Markup:
    """The HTML template of this folder, filled in."""
    return Markup(_environment().get_template(template).render(**values))  # noqa: S704


def style(*names: str) -> Markup:
    """The style of every page, and more of the style sheets of this folder."""
    sheets = [(FOLDER / name).read_text(encoding="utf-8") for name in ("layout.css", *names)]
    return Markup("\n" + "\n".join(sheets))  # noqa: S704


def scientific(p: float) -> str:
    """`0.031`, or `2.6 × 10⁻⁹` where p is below a thousandth; `0` where it is too small for a float."""
    if p >= 1e-3 or p == 0:
        return f"{p:.2g}"
    digits, exponent = f"{p:.1e}".split("e")
    return f"{digits} × 10{str(int(exponent)).translate(DIGITS)}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
