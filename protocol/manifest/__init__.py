"""Manifests: what a publisher wants to run, in the forms it is written in.

- the *person's form*: `image: nginx:1.27`, `port: 80`, `resources: {cpu: 100m, memory: 1Gi}`, `limits: {cpu: 1}`;
- the *protojson form* of the wire messages, in which numbers may be strings;
- the *wire's* `Pod` message;
- docker-compose files, which `from_compose` writes in the person's form.

`parse` takes parsed data in either of the first two, or a mixture, and gives a `Pod`; `to_data` writes
the protojson form back; `to_wire` and `from_wire` are the way to the message and back. A `Pod` is
checked when it is made by any of them: one that exists is consistent.
"""

from __future__ import annotations

from protocol.manifest.compose import Composed, from_compose, is_compose
from protocol.manifest.lower import parse
from protocol.manifest.model import (
    MANIFEST_BYTES_MAX,
    SECRET_BYTES_MAX,
    AccessMode,
    Container,
    Image,
    Mount,
    Pod,
    Port,
    Replicas,
    Secret,
    Volume,
    VolumeKind,
    check,
    cpu_limit_millis,
    pod_resources,
    volume_resources,
)
from protocol.manifest.problems import BadManifests, hint, nearest
from protocol.manifest.wire import from_wire, to_wire
from protocol.manifest.write import canonical, to_data

__all__ = [
    "MANIFEST_BYTES_MAX",
    "SECRET_BYTES_MAX",
    "AccessMode",
    "BadManifests",
    "Composed",
    "Container",
    "Image",
    "Mount",
    "Pod",
    "Port",
    "Replicas",
    "Secret",
    "Volume",
    "VolumeKind",
    "canonical",
    "check",
    "cpu_limit_millis",
    "from_compose",
    "from_wire",
    "hint",
    "is_compose",
    "nearest",
    "parse",
    "pod_resources",
    "to_data",
    "to_wire",
    "volume_resources",
]
