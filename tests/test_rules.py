"""The rules of docs/protocol.md have names, and tests refer to them by name."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()

RULE = re.compile(r"\[([A-Z]{2,8})(\d{1,2})\]")
"""How a rule is referred to, in the document and in the docstring of a test."""
DEFINITION = re.compile(r"^- \*\*\[([A-Z]{2,8}\d{1,2})\]\*\*", re.MULTILINE)

DEFINED = DEFINITION.findall(PROTOCOL)
TEST_FILES = sorted(path for folder in ("tests", "e2e_tests") for path in (ROOT / folder).rglob("*.py"))


def referred(text: str) -> set[str]:
    return {family + number for family, number in RULE.findall(text)}


def docstrings(path: Path) -> str:
    """All docstrings of a file, one after the other."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, documented)]
    return "\n".join(ast.get_docstring(node) or "" for node in nodes)


def test_rules_are_unique() -> None:
    """A name stands for one rule."""
    assert [rule for rule, times in Counter(DEFINED).items() if times > 1] == []


def test_rules_are_numbered_without_gaps() -> None:
    """Each family counts from 1 in the order of the document, so that a missing rule is seen."""
    families = defaultdict(list)
    for rule in DEFINED:
        family = rule.rstrip("0123456789")
        families[family].append(int(rule.removeprefix(family)))
    assert families
    assert {family: list(range(1, len(numbers) + 1)) for family, numbers in families.items()} == families


def test_the_document_refers_to_rules_it_has() -> None:
    """No reference in the document points nowhere."""
    assert referred(PROTOCOL) <= set(DEFINED)


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_name_rules_that_exist(path: Path) -> None:
    """A test that says which rule it holds the code to names one that the document has."""
    assert referred(docstrings(path)) <= set(DEFINED)
