# SPDX-License-Identifier: Apache-2.0
"""Why each rule is there, in one phrase: what ``--explain`` says and nft carries as a comment. Pure.

Both plans take their reasons from here, so that a rule of one backend and its twin in the other say the same.
A phrase has at most 128 bytes (nft's comments) and no double quote.
"""

from __future__ import annotations

INVALID = "packets out of any connection would reach the app unproxied and be answered by a reset"
HBONE = "HBONE already speaks to the proxy"
TO_OUTBOUND = "outbound traffic goes to the proxy"
TO_INBOUND = "inbound traffic goes to the proxy"
TO_INBOUND_TPROXY = "inbound traffic goes to the proxy with both addresses kept"
KNOWN = "a known connection: the mark routes it to the proxy's socket"
LOOK_INBOUND = "inbound TCP is looked at"
LOOK_OUTBOUND = "outbound traffic is looked at"
ALL_INBOUND = "all inbound ports are captured"
ALL_OUTBOUND = "all outbound traffic is captured"
PASSTHROUGH = "the proxy hands inbound traffic to the app"
OWN_POD = "the proxy calls its own pod by its service's address: that is inbound traffic again"
ITSELF = "the app talks to itself, past the proxy"
NO_LOOP = "traffic of the proxy itself must not loop"
ONLY_GROUPS = "only traffic of the named owner groups is captured"
LOOPBACK = "loopback addresses stay in the pod"

LOOK_DNS = "DNS is looked at"
DNS_ZONES = "DNS is put into its own zones"
DNS_ANSWERS = "answers of DNS servers are put into their zone"
TO_RESOLVER = "DNS goes to the agent's resolver"
OWN_QUERIES = "the resolver's own queries are tracked apart"
OWN_ANSWERS = "the resolver's answers to the app are tracked apart"
APP_QUERIES = "the app's queries are tracked apart"
SERVER_ANSWERS = "answers to the resolver's own queries are tracked apart"

REMEMBERED = "the connection remembers that the proxy took it"
CARRIES_MARK = "the proxy's packets to the app already carry the mark"
MARKED_OWN_POD = "the proxy calls its own pod: marked so that inbound capture takes it"
BACK_TO_PROXY = "the app's answers are routed back to the proxy"
TAKEN = "already taken by the proxy"

CHANGING = "rules are being changed"


def excluded(what: str, which: str) -> str:
    """An exclusion by name: an interface, a port, a range, an owner group."""
    return f"{what} {which} is excluded"


def captured(what: str, which: str) -> str:
    """The opposite."""
    return f"{what} {which} is captured"


def not_inbound(interface: str) -> str:
    """Of a virtual interface."""
    return f"what comes from {interface} is outbound traffic, not for this pod's inbound capture"


def already(why: str) -> str:
    """Of a connection that was captured for this reason when it began."""
    return f"{why}; this connection was already"


def outbound_of(interface: str, destination: str) -> str:
    """Of a virtual interface, to some destination."""
    return f"outbound traffic of {interface} to {destination} is captured"
