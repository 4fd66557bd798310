"""Canonical JSON: two values have one digest exactly if they mean the same."""

import json
import os
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sublim.common.canonical import canonical, digest, row_id, row_seed

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(lambda text: unicodedata.normalize("NFC", text))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_it_is_json_that_reads_back(value: object) -> None:
    assert json.loads(canonical(value)) == value


@given(st.dictionaries(TEXT, VALUES, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_key_order_does_not_matter(value: dict[str, object], random: "object") -> None:
    items = list(value.items())
    random.shuffle(items)  # type: ignore[attr-defined]
    assert canonical(dict(items)) == canonical(value)


@given(VALUES, VALUES)
def test_different_values_have_different_digests(one: object, other: object) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == same


def test_unicode_forms_of_one_text_are_one() -> None:
    assert canonical({"e\u0301": "e\u0301"}) == canonical({"\u00e9": "\u00e9"})


@pytest.mark.parametrize("value", [{1, 2}, object(), print, b"x", float("nan"), float("inf"), {"e\u0301": 1, "\u00e9": 2}])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical(value)


def test_digests_do_not_depend_on_the_hash_seed() -> None:
    code = "from sublim.common.canonical import *; print(digest({'b': [1, 2.0], 'a': 'x'}), row_seed(row_id('a', 1)))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert seen == {f"{digest({'a': 'x', 'b': [1, 2.0]})} {row_seed(row_id('a', 1))}\n"}
