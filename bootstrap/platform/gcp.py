# SPDX-License-Identifier: Apache-2.0
"""Google's platform: what the environment says, else the metadata server. Pure; asks through ``Fetch``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bootstrap.inputs import PlatformInputs
from bootstrap.platform.found import Fetch, Found, NoAnswer

_HOST = "169.254.169.254"
_FLAVOR = {"Metadata-Flavor": "Google"}
_PROBE_TIMEOUT = 0.5
_ATTRIBUTES = {
    "gcp_project": "project/project-id",
    "gcp_project_number": "project/numeric-project-id",
    "gcp_gke_cluster_name": "instance/attributes/cluster-name",
    "gcp_location": "instance/attributes/cluster-location",
    "gcp_gce_instance": "instance/name",
    "gcp_gce_instance_id": "instance/id",
    "gcp_gce_instance_template": "instance/attributes/instance-template",
    "gcp_gce_instance_created_by": "instance/attributes/created-by",
}
_SEARCH = re.compile(
    r"^search\s(?:.*\s)?([a-z0-9]+-[a-z0-9]+-[a-z0-9]+)\.c\.[^\s]+\.internal\.?(?:\s|$)",
    re.MULTILINE,
)


def discover(fetch: Fetch, options: PlatformInputs, *, resolv_conf: str) -> Found | None:
    """What Google says, or None elsewhere. ``resolv_conf`` is the text of /etc/resolv.conf."""
    metadata = _static(options)
    if not metadata:
        if not _is_google(fetch, options):
            return None
        metadata = _dynamic(fetch, options)
    zone = _zone(fetch, options, resolv_conf)
    region = region_of(zone)
    return Found(
        metadata={**metadata, **dict(_configured(options)), **_cluster_url(metadata)},
        region=region,
        zone=zone if region else "",
        is_kubernetes=options.is_kubernetes or "gcp_gke_cluster_name" in metadata,
    )


def region_of(zone: str) -> str:
    """``us-central1`` of ``us-central1-f``; empty where the text is no zone."""
    region, dash, last = zone.rpartition("-")
    return region if dash and last and "-" in region else ""


def zone_in(resolv_conf: str) -> str:
    """The zone in a search line such as ``search us-west1-b.c.project.internal google.internal``."""
    found = _SEARCH.search(resolv_conf)
    return found[1] if found else ""


def _static(options: PlatformInputs) -> dict[str, str]:
    """GCP_METADATA=PROJECT|NUMBER|CLUSTER|LOCATION; then the server is not asked for these."""
    parts = options.gcp_metadata.split("|")
    if len(parts) != 4:
        return {}
    keys = ("gcp_project", "gcp_project_number", "gcp_gke_cluster_name", "gcp_location")
    return {key: value for key, value in zip(keys, parts, strict=True) if value}


def _configured(options: PlatformInputs) -> Iterator[tuple[str, str]]:
    if options.gcp_quota_project:
        yield "gcp_quota_project", options.gcp_quota_project
    if options.gcp_zone:
        yield "gcp_zone", options.gcp_zone


def _cluster_url(metadata: dict[str, str]) -> dict[str, str]:
    keys = ("gcp_project", "gcp_location", "gcp_gke_cluster_name")
    if not all(metadata.get(key) for key in keys):
        return {}
    project, location, cluster = (metadata[key] for key in keys)
    base = "https://container.googleapis.com/v1"
    url = f"{base}/projects/{project}/locations/{location}/clusters/{cluster}"
    return {"gcp_gke_cluster_url": url}


def _is_google(fetch: Fetch, options: PlatformInputs) -> bool:
    if options.gce_metadata_host:
        return True
    try:
        answer = fetch(f"http://{_HOST}/", headers=_FLAVOR, timeout=_PROBE_TIMEOUT)
    except NoAnswer:
        return False
    return answer.headers.get("metadata-flavor") == "Google"


def _dynamic(fetch: Fetch, options: PlatformInputs) -> dict[str, str]:
    found = {key: _get(fetch, options, path) for key, path in _ATTRIBUTES.items()}
    if not found["gcp_location"]:
        found["gcp_location"] = _get(fetch, options, "instance/zone").rpartition("/")[2]
    return {key: value for key, value in found.items() if value}


def _zone(fetch: Fetch, options: PlatformInputs, resolv_conf: str) -> str:
    return (
        options.gcp_zone
        or zone_in(resolv_conf)
        or _get(fetch, options, "instance/zone").rpartition("/")[2]
    )


def _get(fetch: Fetch, options: PlatformInputs, path: str) -> str:
    host = options.gce_metadata_host or _HOST
    try:
        return fetch(f"http://{host}/computeMetadata/v1/{path}", headers=_FLAVOR).text.strip()
    except NoAnswer:
        return ""
