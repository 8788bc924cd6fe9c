# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given, settings

from agent.status.translate import to_text
from tests.support.metrics import families, openmetrics_bodies


def test_each_kind() -> None:
    given_text = (
        '# TYPE c counter\n# HELP c a \\"word\\"\nc_total 1 # {t="1"} 1\nc_created 12.5\n'
        '# TYPE i info\ni_info{v="1"} 1\n'
        "# TYPE u unknown\nu 1 1.5\n"
        "# TYPE g gauge\n# UNIT g seconds\ng 1\n# EOF\n"
    )
    assert to_text(given_text.encode()).decode() == (
        '# HELP c_total a "word"\n# TYPE c_total counter\nc_total 1\n'
        "# TYPE c_created gauge\nc_created 12.5\n"
        '# TYPE i_info gauge\ni_info{v="1"} 1\n'
        "# TYPE u untyped\nu 1 1500\n"
        "# TYPE g gauge\ng 1\n"
    )


def test_what_cannot_be_understood_stays() -> None:
    assert to_text(b"not metrics\n# EOF\n") == b"not metrics\n"


@settings(max_examples=60, deadline=None)
@given(openmetrics_bodies())
def test_every_sample_is_still_there(body: str) -> None:
    before = families(body, is_openmetrics=True)
    after = families(to_text(body.encode()).decode(), is_openmetrics=False)

    def samples(found: dict[str, object]) -> list[tuple[str, object, object]]:
        rows = [each for family in found.values() for each in family.samples]  # type: ignore[attr-defined]  # untyped
        return sorted((each.name, str(each.labels), each.value) for each in rows)

    assert samples(after) == samples(before)
