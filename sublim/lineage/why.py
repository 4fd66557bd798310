"""Why an artifact is, or is not, up to date."""

from collections.abc import Mapping, Sequence

from sublim.engine.verdict import Verdict, summarize
from sublim.evidence.tree import working
from sublim.lineage.naming import artifacts


def why(words: Sequence[str], verdicts: Mapping[str, Verdict]) -> str:
    """What is the matter with the artifact that `words` name: a sentence, then one line per field that differs. Of several, how
    many are stale and why. Raises SublimError: they name no artifact of this experiment."""
    tree = working()
    found = [cell for cell in artifacts(words, tree.part(verdicts), tuple(verdicts)) if cell in verdicts]
    if len(found) == 1:
        return _explain(verdicts[found[0]], verdicts)
    return f"{' '.join(words)}: {summarize([verdicts[cell] for cell in found])}"


def _explain(verdict: Verdict, verdicts: Mapping[str, Verdict]) -> str:
    cell = verdict.cell.id
    if verdict.reason is None:
        given = verdict.cell.inputs
        made_from = ", ".join(given.values()) if len(given) <= 4 else f"{len(given)} artifacts"
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
