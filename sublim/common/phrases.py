"""Lists of phrases in a text file beside a module: `[name]`, and below it one phrase per line."""

from pathlib import Path


def phrases(module: str) -> dict[str, tuple[str, ...]]:
    """Name → phrases, from the text file beside the file `module` of the same stem (for `__file__`)."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in Path(module).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            found[name] = []
        elif line:
            found[name].append(line)
    return {name: tuple(lines) for name, lines in found.items()}
