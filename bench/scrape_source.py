# SPDX-License-Identifier: Apache-2.0
"""Stands for Envoy and the application of ``bench.scrape``: metrics by the megabyte. Prints its port.

``/stats/prometheus?mib=N`` is text as Envoy writes it, ``/app`` an application's that shares no family with it,
``/colliding`` one that shares two.
"""

from __future__ import annotations

import functools
import socketserver
import sys

MIB = 1024 * 1024
CLUSTERS = 2000
METRICS = (
    "upstream_rq_total",
    "upstream_cx_total",
    "upstream_cx_active",
    "upstream_rq_pending_total",
    "membership_healthy",
    "upstream_rq_timeout",
    "upstream_rq_retry",
    "upstream_cx_rx_bytes_total",
    "upstream_cx_tx_bytes_total",
    "lb_healthy_panic",
)


@functools.cache
def envoy_text(size: int) -> bytes:
    """Families of ``CLUSTERS`` samples each, until there are ``size`` bytes."""
    parts, length, number = [], 0, 0
    while length < size:
        name = f"envoy_cluster_{METRICS[number % len(METRICS)]}"
        if number >= len(METRICS):
            name += f"_{number}"
        rows = "".join(
            f'{name}{{cluster_name="outbound|{cluster}||service-{cluster}.shop.svc.cluster.local"}} 7{cluster}\n'
            for cluster in range(CLUSTERS)
        )
        parts.append(f"# TYPE {name} counter\n{rows}".encode())
        length += len(parts[-1])
        number += 1
    return b"".join(parts)


def app_text(*names: str) -> bytes:
    """About 100 KiB of an application's own."""
    families = [*names, *(f"app_metric_{number}" for number in range(20))]
    return "".join(
        f"# HELP {name} What it counts.\n# TYPE {name} counter\n"
        + "".join(f'{name}{{handler="/path/{row}",code="200"}} {row}\n' for row in range(100))
        for name in families
    ).encode()


APPS = {
    "/app": app_text(),
    "/colliding": app_text("envoy_cluster_upstream_rq_total", "envoy_cluster_lb_healthy_panic"),
}


class Answer(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        path = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        body = APPS.get(path) or envoy_text(int(path.partition("mib=")[2]) * MIB)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {len(body)}\r\n"
        self.wfile.write(f"{head}connection: close\r\n\r\n".encode())
        self.wfile.write(body)


class Source(socketserver.ThreadingTCPServer):
    daemon_threads = True


if __name__ == "__main__":
    for size in map(int, sys.argv[1:]):
        envoy_text(size * MIB)
    with Source(("127.0.0.1", 0), Answer) as source:
        print(source.server_address[1], flush=True)
        source.serve_forever()
