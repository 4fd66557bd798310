"""Why an artifact is, or is not, up to date."""

from collections.abc import Mapping
from pathlib import Path

from sublim.common.errors import SublimError
from sublim.plan import layout
from sublim.plan.verdict import Verdict, summarize


def why(path: Path, verdicts: Mapping[str, Verdict]) -> str:
    """What is the matter with the artifact that `path` is or lies in: a sentence, then one line per field that differs.

    For a directory that holds several artifacts, how many are stale and why.

    Raises:
        SublimError: `path` belongs to no artifact of this experiment.
    """
    name = _cell_like(path)
    inside = [verdict for cell, verdict in verdicts.items() if cell == name or f"{name}/".startswith(f"{cell}/")]
    if inside:
        return _explain(inside[0], verdicts)
    below = [verdict for cell, verdict in verdicts.items() if f"{cell}/".startswith(f"{name}/") or not name]
    if not below:
        raise SublimError(
            f"{path}: belongs to no artifact of this experiment. Artifacts are the directories such as "
            f"{layout.artifact(next(iter(verdicts)))}; `sublim status` counts them."
        )
    return f"{path}: {summarize(below)}"


def _cell_like(path: Path) -> str:
    try:
        relative = path.resolve().relative_to(layout.DATA.resolve())
    except ValueError:
        raise SublimError(f"{path}: is not under {layout.DATA.resolve()}, where this experiment's artifacts are.") from None
    return "" if relative == Path() else relative.as_posix()


def _explain(verdict: Verdict, verdicts: Mapping[str, Verdict]) -> str:
    cell = verdict.cell.id
    if verdict.reason is None:
        made_from = (
            ", ".join(verdict.cell.inputs.values())
            if len(verdict.cell.inputs) <= 4
            else f"{len(verdict.cell.inputs)} artifacts"
        )
        return f"{cell} is up to date: its plan, its bytes and its inputs ({made_from or 'none'}) are those of its record."
    lines = [f"{cell} is not up to date: {verdict.reason}."]
    lines += [f"  {change}" for change in verdict.changes]
    if verdict.kind == "follows":
        root = _root(verdict, verdicts)
        lines.append(f"  {root.cell.id}: {root.reason}")
        lines += [f"    {change}" for change in root.changes]
    return "\n".join(lines)


def _root(verdict: Verdict, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The first artifact upstream that is stale on its own account."""
    while verdict.kind == "follows":
        verdict = next(verdicts[name] for name in verdict.cell.inputs.values() if verdicts[name].reason is not None)
    return verdict
