"""What all figures share: altair charts as SVG and PNG, rendered offline by vl-convert; scales, axes, marks, numbers in words.

No chart has a gradient or a clip: Vega would number them through the life of a process, and the same chart would have other
bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import altair as alt
import vl_convert

THEME: Mapping[str, Any] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
# The page gives exactly these three other values on dark screens; text inside coloured cells has colours of its own.
INK, MUTED, RULE = THEME["title"]["color"], THEME["axis"]["labelColor"], THEME["axis"]["gridColor"]
ON_LIGHT, ON_DARK = "#000000", "#ffffff"
DIVERGING = ("#1f5f99", "#7fb0d6", "#f4f4f2", "#e8a283", "#b0391f")
CATEGORICAL = (
    *("#4477aa", "#cc6677", "#228833", "#aa4499", "#b8941f", "#44aaaa", "#882255", "#5a6b2f", "#332288", "#ee7733"),
    "#661100",
)
PNG_SCALE = 3.0
SIGNED = "datum.value == 0 ? '0' : format(datum.value, '+.2~r')"
DASHED = (4, 3)
SVG = "http://www.w3.org/2000/svg"

Chart = alt.LayerChart | alt.FacetChart | alt.VConcatChart | alt.HConcatChart
Rows = Sequence[Mapping[str, Any]]


def svg(chart: Chart) -> str:
    """`chart` as SVG text, the same for the same chart."""
    return vl_convert.vegalite_to_svg(chart.to_dict(validate=False) | {"config": THEME})


def save(charts: Mapping[str, Chart], folder: Path) -> dict[str, str]:
    """Write each of `charts` into `folder`, as SVG and as PNG. Returns their SVG by name."""
    drawn = {name: svg(chart) for name, chart in charts.items()}
    for name, text in drawn.items():
        (folder / f"{name}.svg").write_text(text, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(png(text))
    return drawn


def png(text: str) -> bytes:
    """An SVG as PNG at `PNG_SCALE` times its nominal size: 216 dots per inch at that size in print."""
    return vl_convert.svg_to_png(text, scale=PNG_SCALE)


def inline(text: str, about: str) -> str:
    """An SVG made ready to stand in a page: no background, width left to the page up to the nominal one, `about` as what a
    screen reader says, and a tooltip on each mark that has a label."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(text)  # noqa: S314 - it is our own
    for background in root.findall(f"{{{SVG}}}rect"):
        root.remove(background)
    for element in root.iter():
        for name in ("class", "role", "aria-hidden", "aria-roledescription"):
            element.attrib.pop(name, None)
        if element.tag == f"{{{SVG}}}path" and (label := element.attrib.pop("aria-label", None)) is not None:
            ElementTree.SubElement(element, f"{{{SVG}}}title").text = label
    for name in ("height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": about}
    return ElementTree.tostring(root, encoding="unicode")


def place(about: str) -> str:
    """What stands for a drawing where it is not drawn, which takes most of the time that a page takes."""
    return ElementTree.tostring(ElementTree.Element("svg", {"aria-label": about}), "unicode", short_empty_elements=False)


def beside(*rows: Sequence[Chart]) -> Chart:
    """Rows of panels as one figure, for a paper; the page lays panels out by its own width."""
    return alt.vconcat(*(alt.hconcat(*row, spacing=36) for row in rows), spacing=24).resolve_scale(color="independent")  # pyright: ignore[reportUnknownMemberType]


def independent(*layers: alt.Chart) -> Chart:
    """Layers whose fills and texts have colour scales of their own."""
    return alt.layer(*layers).resolve_scale(color="independent")  # pyright: ignore[reportUnknownMemberType]


def of_rows(rows: Rows) -> alt.Chart:
    """A chart of `rows`."""
    # As text: altair copies data that it can look into each time charts are combined.
    return alt.Chart(alt.InlineData(values=json.dumps(rows, ensure_ascii=False), format=alt.DataFormat(type="json")))


def band(names: Sequence[str], padding: float) -> alt.Scale:
    """A place for each name."""
    return alt.Scale(domain=list(names), paddingInner=padding, paddingOuter=padding / 2)


def names_down(field: str, names: Sequence[str], room: float = 0) -> alt.Y:
    """`room`: how much is left for the names at least, so that panels with other names line up."""
    return alt.Y(f"{field}:N", scale=band(names, 0.3)).axis(title=None, labelColor=INK, labelFontSize=12, minExtent=room)


def spread() -> alt.YOffset:
    """The field `place`, from 0 to 1, over the height of a band: marks of the same value do not hide each other."""
    return alt.YOffset("place:Q", scale=alt.Scale(domain=[0, 1]))


def named(field: str, colours: Mapping[str, str], *, legend: bool, symbol: str = "circle") -> alt.Color:
    """A colour for each name. `legend`: whether the chart itself says which is whose."""
    key = alt.Legend(
        title=None,
        orient="bottom",
        direction="horizontal",
        symbolType=symbol,
        symbolSize=80,
        symbolOpacity=1,
        symbolStrokeWidth=2.2 if symbol == "stroke" else 0,
        columns=8,
        offset=12,
    )
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color(f"{field}:N", scale=scale, sort=None, legend=key if legend else None)


def filled(end: float, measured: str, *, legend: bool) -> alt.Color:
    """The field `gain` as the fill of a cell, on a scale from −`end` to `end`."""
    stops = [-end, -end / 2, 0, end / 2, end]
    key = alt.Legend(
        title=f"gain in {measured}",
        type="symbol",
        values=stops,
        orient="bottom",
        direction="horizontal",
        columns=len(stops),
        symbolType="square",
        symbolSize=170,
        symbolOpacity=1,
        symbolStrokeWidth=0,
        labelExpr=SIGNED,
        titleOrient="left",
        titleLimit=240,
        titlePadding=12,
        offset=14,
    )
    scale = alt.Scale(domain=stops, range=list(DIVERGING), interpolate="rgb")
    return alt.Color("gain:Q", scale=scale, legend=key if legend else None)


def at(value: Any, scale: alt.Scale, *, upright: bool = True, **style: Any) -> alt.Chart:
    """A line at a value, upright or level."""
    look: dict[str, Any] = {"color": INK, "strokeWidth": 1, "aria": False} | style
    line = of_rows([{"at": value}]).mark_rule(**look)
    return line.encode(x=alt.X("at:Q", scale=scale)) if upright else line.encode(y=alt.Y("at:Q", scale=scale))


def intervals(chart: alt.Chart, scale: alt.Scale, width: float = 1.6) -> alt.Chart:
    """The fields `low` and `high` as a level line, where there are any."""
    known = chart.transform_filter("isValid(datum.low)").mark_rule(color=INK, strokeWidth=width, aria=False)
    return known.encode(x=alt.X("low:Q", scale=scale), x2="high:Q")


def printed(chart: alt.Chart, place: float, field: str = "value", **style: Any) -> alt.Chart:
    """A field as text at the right of a panel, `place` pixels from the left."""
    look: dict[str, Any] = {"align": "left", "fontSize": 12, "fontWeight": 600, "color": INK, "aria": False} | style
    return chart.mark_text(**look).encode(text=f"{field}:N", x=alt.value(place))


def title(text: str, subtitle: str = "") -> alt.TitleParams:
    """The title of a panel."""
    return alt.TitleParams(text, subtitle=subtitle)


def heading(text: str) -> alt.TitleParams:
    """The title of one of several panels below each other."""
    return alt.TitleParams(text, anchor="start", frame="bounds", fontSize=12, fontWeight=600, color=INK, offset=6)


def palette(names: Sequence[str]) -> dict[str, str]:
    """Name → colour; beyond eleven names colours come again."""
    return {name: CATEGORICAL[n % len(CATEGORICAL)] for n, name in enumerate(names)}


def signed(value: float, digits: int = 2) -> str:
    """`+0.42`, `−0.01`, `0.00`: a gain with its sign, none where it is zero as printed."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("−" if value < 0 else "+") + text


def span(row: Mapping[str, Any], digits: int = 2) -> str:
    """`[+0.31, +0.53]` of a row with low and high; nothing where there is no interval."""
    return "" if row["low"] is None else f"[{signed(row['low'], digits)}, {signed(row['high'], digits)}]"


def counted(n: int) -> str:
    """`6 runs`."""
    return f"{n} {'run' if n == 1 else 'runs'}"


def with_interval(row: Mapping[str, Any], mean: str, digits: int = 2) -> str:
    """`+0.42 [+0.31, +0.53], 6 runs` of a row with `mean`, low, high and n; one run has no interval."""
    between = f" {span(row, digits)}" if row["low"] is not None else ""
    return f"{signed(row[mean], digits)}{between}, {counted(row['n'])}"


def text_colour(value: float, end: float) -> str:
    """The text colour that contrasts more with the fill of `value` on a scale that ends at ±`end` (WCAG relative luminance)."""
    fill = _luminance(_fill_of(value / end))
    # Contrast is the ratio of luminances, each with 0.05 added: that with black against that with white.
    return ON_LIGHT if (fill + 0.05) / 0.05 > 1.05 / (fill + 0.05) else ON_DARK


def _fill_of(share: float) -> tuple[float, float, float]:
    """The colour of a place in −1…1 on the diverging scale, as Vega interpolates it (piecewise linear in RGB)."""
    stops = [tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in DIVERGING]
    place = (min(1.0, max(-1.0, share)) + 1) / 2 * (len(stops) - 1)
    left = min(int(place), len(stops) - 2)
    part = place - left
    red, green, blue = (a + (b - a) * part for a, b in zip(stops[left], stops[left + 1], strict=True))
    return red, green, blue


def _luminance(colour: tuple[float, float, float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
