"""The bytes that parties exchange: protobuf messages and the frames they travel in.

What belongs here: `trusted_pods.proto`, what is generated from it, and framing. What does not: rules
about what a message may say (those are in `auth`, `requests`, `manifest` and their neighbours).

`trusted_pods_pb2.py` and `.pyi` are generated and committed; a test generates them again and
compares. After a change of the .proto, with the `dev` requirements installed (`make wire`):

    python -m grpc_tools.protoc -I. --python_out=. --mypy_out=. protocol/wire/trusted_pods.proto

The interface is re-exported here: `from protocol import wire`, then `wire.pb.Pod`, `wire.parse`.
"""

from __future__ import annotations

from typing import Final

from protocol.wire import trusted_pods_pb2 as pb
from protocol.wire.framing import MAX_FRAME_BYTES, decode, dump, encode, parse, split

ATTEST: Final = "/trusted-pods/attest/0.0.1"
PROVISIONING_CAPACITY: Final = "/trusted-pods/provisioning-capacity/0.0.1"
PROVISION_POD: Final = "/trusted-pods/provision-pod/0.0.1"
POD_STATUS: Final = "/trusted-pods/pod-status/0.0.1"
UPDATE_POD: Final = "/trusted-pods/update-pod/0.0.1"
DELETE_POD: Final = "/trusted-pods/delete-pod/0.0.1"
POD_LOGS: Final = "/trusted-pods/pod-logs/0.0.1"
POD_USAGE: Final = "/trusted-pods/pod-usage/0.0.1"
LOAD: Final = "/trusted-pods/load/0.0.1"

PROTOCOLS: Final = (
    ATTEST,
    PROVISIONING_CAPACITY,
    PROVISION_POD,
    POD_STATUS,
    UPDATE_POD,
    DELETE_POD,
    POD_LOGS,
    POD_USAGE,
    LOAD,
)
"""Every protocol a provider serves. A signed Request's `method` is one of these."""

MUTATIONS: Final = frozenset({PROVISION_POD, UPDATE_POD, DELETE_POD})
"""The protocols that change something at the provider: their Requests need a higher `seq`, and their answers are kept."""

__all__ = [
    "ATTEST",
    "DELETE_POD",
    "LOAD",
    "MAX_FRAME_BYTES",
    "MUTATIONS",
    "POD_LOGS",
    "POD_STATUS",
    "POD_USAGE",
    "PROTOCOLS",
    "PROVISIONING_CAPACITY",
    "PROVISION_POD",
    "UPDATE_POD",
    "decode",
    "dump",
    "encode",
    "parse",
    "pb",
    "split",
]
