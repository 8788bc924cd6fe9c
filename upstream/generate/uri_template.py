# SPDX-License-Identifier: Apache-2.0
"""Path templates of AuthorizationPolicy (``/users/{*}/profile``, ``/files/{**}``) for Envoy. Pure. Source: spec 7.8."""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.path.match.uri_template.v3 import uri_template_match_pb2

from upstream.generate.resource import packed

ONE = "{*}"
REST = "{**}"


def is_template(path: str) -> bool:
    """Whether the path has wildcards in braces."""
    return ONE in path or REST in path


def template_permission(path: str) -> rbac_pb2.Permission:
    """Envoy writes the same wildcards without braces."""
    plain = path.replace(REST, "**").replace(ONE, "*")
    config = uri_template_match_pb2.UriTemplateMatchConfig(path_template=plain)
    extension = extension_pb2.TypedExtensionConfig(name="uri-template", typed_config=packed(config))
    return rbac_pb2.Permission(uri_template=extension)
