# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from agent.admin import api


def test_the_description_is_of_the_table() -> None:
    document = api.openapi("1.2.3")
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == "1.2.3"
    found = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    assert found == {(page.method, page.path) for page in api.PAGES}
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    assert all(each["responses"]["200"] for each in operations)


def test_only_pages_without_data_are_public() -> None:
    assert [page.path for page in api.PAGES if page.public] == ["/", "/api/v1/openapi.json"]
