"""The page that `dvc plots` fills in, with the drawing library inside: DVC's own loads it from the network."""

from typing import Any, cast

import vl_convert

VEGA_LITE = "5.21"
"""The newest of the major version that DVC's plot templates are written for."""
PAGE = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
{{refresh_tag}}
<title>DVC plots</title>
<style>body {{ font-family: sans-serif }} img {{ max-width: 40vw; height: auto }}</style>
<script>{library}</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def page() -> str:
    """The page, with DVC's placeholders `{plot_divs}` and `{refresh_tag}` and without the one for scripts: 0.9 MB."""
    library = cast("Any", vl_convert).javascript_bundle(vl_version=VEGA_LITE)  # its stub has no defaults
    return PAGE.format(library=library)
