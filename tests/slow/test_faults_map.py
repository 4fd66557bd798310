"""docs/crash.md names the tests of each fault: they exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "crash.md"


def _tests(name: str) -> set[str]:
    tree = ast.parse(next(TESTS.rglob(name)).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_fault_has_tests_and_they_exist() -> None:
    rows = {match[1]: match[0] for match in re.finditer(r"^\| (F\d+) .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)}
    assert list(rows) == [f"F{number}" for number in range(1, 16)]
    for fault, row in rows.items():
        named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", row)
        assert named, fault
        for module, test in named:
            assert _tests(module), f"{fault}: {module}"
            assert not test or test in _tests(module), f"{fault}: {module}::{test}"
