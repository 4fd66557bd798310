"""The page that `dvc plots` fills in, with the drawing library inside: DVC's own loads it from the network."""

from pathlib import Path
from typing import Any, cast

import vl_convert

VEGA_LITE = "5.21"  #: The newest of the major version that DVC's plot templates are written for.
PAGE = Path(__file__).with_suffix(".html")


def page() -> str:
    """The page, with DVC's placeholders `{plot_divs}` and `{refresh_tag}` and without the one for scripts: 0.9 MB."""
    library = cast("Any", vl_convert).javascript_bundle(vl_version=VEGA_LITE)  # its stub has no defaults
    return PAGE.read_text(encoding="utf-8").format(library=library)
