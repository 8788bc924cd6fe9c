# SPDX-License-Identifier: Apache-2.0
"""Expressions that RE2 takes, and those that it does not though Python would."""

from __future__ import annotations

import pytest

from upstream.config.regex import fault_of

GOOD = [
    "",
    ".*",
    "/r.*|/s",
    "a||b",
    "(a)*(?:b|c)+(?i:d)?",
    "(|a)()",
    "/[0-9]{2,3}",
    "a{2",
    "a{,3}",
    "a{1000}",
    "a*?b+?c??",
    "(?i)abc",
    "a(?i)b",
    "a(?i)*",
    "(?s-i:a)",
    "(?P<x>a)(?<y>b)",
    "[[:alpha:]_]",
    "[^a-z]",
    "[]a]",
    "[a-]",
    "[\\d-]",
    "\\pN\\p{Greek}\\P{^Lu}",
    "\\x41\\x{10FFFF}\\012",
    "\\Qa*b\\E*",
    "\\d+\\.\\w\\b\\B\\A\\z",
    "\\-\\/",
]


@pytest.mark.parametrize("pattern", GOOD)
def test_taken(pattern: str) -> None:
    assert fault_of(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("*", "nothing to repeat"),
        ("a**", "nothing to repeat"),
        ("a++", "nothing to repeat"),
        ("a|*", "nothing to repeat"),
        ("(*)", "nothing to repeat"),
        ("(a", "not closed"),
        ("a)", "unexpected ')'"),
        ("[a", "not closed"),
        ("[z-a]", "from less to more"),
        ("[a-\\d]", "from less to more"),
        ("[[:foo:]]", "no class"),
        ("[\\b]", "not known"),
        ("(?=a)", "no look-around"),
        ("(?<!a)", "no look-around"),
        ("(?>a)", "not known to RE2"),
        ("(?#c)", "not known to RE2"),
        ("(a)\\1", "no references"),
        ("(?P=x)", "no references"),
        ("(?P<x>a)(?P<x>b)", "two groups"),
        ("a{1001}", "more than 1000"),
        ("a{3,2}", "from more to less"),
        ("\\Z", "not known"),
        ("\\p", "wants a property"),
        ("\\p{x", "no property"),
        ("\\x{110000}", "no character"),
        ("a\\", "ends in a backslash"),
        ("(" * 300 + ")" * 300, "too deeply"),
    ],
)
def test_refused(pattern: str, says: str) -> None:
    assert says in fault_of(pattern)
