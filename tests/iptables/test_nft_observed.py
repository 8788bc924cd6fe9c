# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables.nft_observed import Found, parse

LISTING = """\
table ip nat {
	chain OUTPUT {
		type nat hook output priority -100; policy accept;
	}
	chain ISTIO_OUTPUT {
	}
}
table inet istio-proxy-nat {
	chain output {
		type nat hook output priority -100; policy accept;
	}
	chain istio-output {
	}
}
table inet istio-proxy-raw {
}
table inet firewall {
	chain istio-output {
	}
}
"""


def test_our_tables_with_their_chains() -> None:
    assert parse(LISTING) == Found(
        {"istio-proxy-nat": ("output", "istio-output"), "istio-proxy-raw": ()}, iptables=True
    )


def test_nothing_of_ours() -> None:
    assert parse("") == Found()
    assert parse("table ip nat {\n\tchain OUTPUT {\n\t}\n}\n") == Found()
    assert parse("table ip istio-proxy-nat {\n\tchain output {\n\t}\n}\n") == Found()
