"""Figures: valid, legible, the same each time."""

import re
import struct

import polars as pl
import pytest

from sublim.report import charts, figures

MATRIX = pl.DataFrame(
    {
        "teacher": ["a", "a", "b", "b"],
        "student": ["a", "b", "a", "b"],
        "arm": ["trait"] * 4,
        "same_base": [True, False, False, True],
        "gain": [0.45, -0.01, 0.004, 0.3],
        "low": [0.4, -0.02, None, 0.2],
        "high": [0.5, 0.0, None, 0.4],
        "n": [6, 6, 1, 6],
        "p_target": [0.5, 0.04, 0.054, 0.35],
        "p_base": [0.05] * 4,
    }
)
LABELS = {"a": "GPT-NeoX", "b": "b"}


@pytest.mark.parametrize(
    ("value", "text"), [(0.423, "+0.42"), (-0.017, "−0.02"), (0.004, "0.00"), (-0.004, "0.00"), (0, "0.00"), (1, "+1.00")]
)
def test_a_gain_has_its_sign_unless_it_is_zero_as_printed(value: float, text: str) -> None:
    assert charts.signed(value) == text


def test_text_in_cells_can_be_read_on_every_fill() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for gain in (n / 10 for n in range(-10, 11)):
        fill = _fill(charts.svg(figures.matrix(_with_gain(gain), LABELS, "trait", 1.0)))
        low, high = sorted((luminance(fill), luminance(charts.text_colour(gain, 1.0))))
        assert (high + 0.05) / (low + 0.05) > 4.5, gain


def test_the_matrix_prints_every_value_and_interval() -> None:
    text = charts.svg(figures.matrix(MATRIX, LABELS, "trait", 0.5))
    assert all(shown in text for shown in ("+0.45", "[+0.40, +0.50]", "−0.01", "[−0.02, 0.00]", "one run", "+0.30"))
    assert all(f">{shown}<" in text for shown in ("teacher", "student", "GPT-NeoX", "b"))
    assert text.count('stroke="#000000"') == 2, "two cells have the same base"
    assert "a → b: gain −0.01 [−0.02, 0.00], 6 runs; P(target) 0.040, untrained 0.050" in text


def test_a_figure_is_the_same_each_time_and_after_others() -> None:
    first = charts.svg(figures.matrix(MATRIX, LABELS, "trait", 0.5))
    charts.svg(figures.matrix(MATRIX, LABELS, "trait", 0.7))
    assert charts.svg(figures.matrix(MATRIX, LABELS, "trait", 0.5)) == first
    runs = pl.DataFrame(
        {"teacher": ["a"] * 2, "student": ["a"] * 2, "trait": ["fox"] * 2, "seed": [1, 2], "gain": [0.1, 0.3]}
    ).with_columns(condition=pl.lit("diagonal"))
    means = {"diagonal": {"mean": 0.2, "low": -0.5, "high": 0.9, "n": 2}}
    clipped = [charts.svg(figures.gains(runs, means, "a", "GPT-NeoX", ["fox"], "P(target)")) for _ in range(2)]
    assert clipped[0] == clipped[1]
    assert not any("id=" in text for text in (first, *clipped)), "ids are numbered through the life of a process"
    assert charts.png(first) == charts.png(first)


def test_png_is_made_for_print() -> None:
    text = charts.svg(figures.matrix(MATRIX, LABELS, "trait", 0.5))
    width, _ = struct.unpack(">II", charts.png(text)[16:24])
    nominal = float(re.findall(r'width="([\d.]+)"', text)[0])
    assert width == pytest.approx(nominal * 3, abs=3)


def test_an_inline_svg_can_stand_beside_others() -> None:
    text = charts.svg(figures.matrix(MATRIX, LABELS, "trait", 0.5))
    inline = charts.inline(text, 'Matrix of "a" & <b>')
    assert "id=" not in inline and "url(" not in inline
    assert 'role="img" aria-label="Matrix of &quot;a&quot; &amp; &lt;b&gt;"' in inline
    assert inline.count("<title>") >= 4
    assert "<rect" in text
    assert "<rect" not in inline
    assert 'height="' not in inline.partition(">")[0]


def test_few_runs_and_missing_cells_are_drawn() -> None:
    assert "one run" in charts.svg(figures.matrix(MATRIX[:3], LABELS, "trait", 0.5))


def test_noise_is_not_coloured_as_an_effect() -> None:
    assert figures.extent(pl.DataFrame({"gain": [0.001, -0.02]})) == 0.1
    assert figures.extent(pl.DataFrame({"gain": [0.001, -0.62]}), MATRIX) == 0.62


def test_there_is_a_colour_for_every_name() -> None:
    names = [f"t{n}" for n in range(11)]
    assert list(charts.palette(names)) == names
    assert len(set(charts.palette(names).values())) == len(names)
    assert figures.trait_colours(["fox"], control=True).keys() == {"fox", "none (control)"}


def _with_gain(gain: float) -> pl.DataFrame:
    return MATRIX[:1].with_columns(pl.lit(gain).alias("gain"))


def _fill(text: str) -> str:
    """The fill of the only cell, as Vega drew it."""
    fill = re.findall(r'<path aria-label="a → a: gain[^>]*fill="([^"]*)"', text)[0]
    return fill if fill.startswith("#") else "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", fill))
