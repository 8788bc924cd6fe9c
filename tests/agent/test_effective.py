# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from agent.effective import effective_settings
from agent.environment import Environment
from mesh.proxyconfig import merge


def test_each_value_with_its_source() -> None:
    given = {"POD_NAME": "web", "ECC_CURVE": "P384", "XDS_HEADER_X": "canary", "SECRET_TTL": "soon"}
    env = Environment(given)
    for name in ("POD_NAME", "ECC_CURVE", "XDS_HEADER_X"):
        env.text(name)
    env.duration("SECRET_TTL", 3600.0)
    env.flag("PROV_FLAG", default=True)
    config = merge(
        mesh_file="defaultConfig: {statusPort: 15099}",
        environment='{"proxyMetadata": {"DB_PASSWORD": "canary", "A": "b"}}',
    )
    rows = {row.name: row[1:] for row in effective_settings(env, config)}
    assert rows["POD_NAME"] == ("web", "environment")
    assert rows["XDS_HEADER_X"] == ("(masked)", "environment")
    assert rows["SECRET_TTL"] == ("3600.0", "default")
    assert rows["PROV_FLAG"] == ("true", "default")
    assert rows["proxyConfig.statusPort"] == ("15099", "./etc/istio/config/mesh")
    assert rows["proxyConfig.proxyMetadata"][1] == "PROXY_CONFIG"
    assert rows["proxyConfig.discoveryAddress"][1] == "default"
    assert "canary" not in str(rows)
