"""What a pod is, and what must hold for one."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import Final

from protocol.manifest.problems import Collector, hint
from protocol.units import Resource

MANIFEST_BYTES_MAX: Final = 256 * 1024
"""Largest manifest, without the contents of its secrets [bytes]; more is refused before it is read."""
SECRET_BYTES_MAX: Final = 1024 * 1024
"""Largest secret [bytes]."""
CPU_LIMIT_MAX_MILLIS: Final = 10**9
"""Largest limit of processor time, a million cores: what no machine has is a mistake."""
REPLICAS_MAX_DEFAULT: Final = 100
TARGET_DEFAULT: Final = 100
"""The KEDA HTTP add-on's defaults: most replicas, and pending requests a replica."""

Amounts = tuple[tuple[Resource, int], ...]
"""Resources in the base units of `protocol.units`, each at most once, in the order of `Resource`."""


class VolumeKind(IntEnum):
    """The wire's `Volume.VolumeType`."""

    EMPTY = 0
    FILESYSTEM = 1
    SECRET = 2


class AccessMode(IntEnum):
    """The wire's `Volume.AccessMode`."""

    RW_ONE = 0
    RW_MANY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """Where a container's file system comes from.

    Attributes:
        url: `registry/name:tag`; empty when only the encrypted image is given.
        cid: binary CID of the directory of encrypted layers; empty before the upload.
        key: key of the layers; travels sealed only.
    """

    url: str = ""
    cid: bytes = b""
    key: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of a container, and how it is reached.

    Attributes:
        name: of the port; may be empty.
        container_port: what the application listens on, 1 to 65535.
        service_port: what other containers and the facade call; the container port by default.
        http_host: HTTP under this host; empty: under the provider's sub-domain alone; None: not HTTP.
        tcp_port: TCP at this port of the provider; 0: any; None: not exposed as TCP.
    """

    name: str = ""
    container_port: int
    service_port: int
    http_host: str | None = None
    tcp_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A volume's place in a container."""

    volume: str
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container.

    Attributes:
        resources: what each replica reserves for it, and pays for.
        limits: what it may use beyond that while its node has it to spare: processor time only. None: what it reserves.
    """

    name: str
    image: Image
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = ""
    ports: tuple[Port, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    mounts: tuple[Mount, ...] = ()
    resources: Amounts = ()
    limits: Amounts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What a secret volume holds.

    Attributes:
        file: a path beside the manifest, to be read before the upload; empty: none.
        contents: the secret itself, before the upload; None: it is in `file` or uploaded.
        cid: binary CID of the encrypted blob, after the upload.
        key: its key; travels sealed only.
    """

    file: str = ""
    contents: bytes | None = None
    cid: bytes = b""
    key: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume of the pod; `storage_bytes` is for file systems, `secret` for secrets."""

    name: str
    kind: VolumeKind = VolumeKind.EMPTY
    access: AccessMode = AccessMode.RW_ONE
    storage_bytes: int = 0
    secret: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """How many replicas may run, and when one more does."""

    min: int = 0
    max: int = REPLICAS_MAX_DEFAULT
    target_pending_requests: int = TARGET_DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """What runs: containers side by side, their volumes, and how many copies."""

    containers: tuple[Container, ...]
    volumes: tuple[Volume, ...] = ()
    replicas: Replicas = Replicas()

    @property
    def http(self) -> bool:
        """Whether any port is reached over HTTP: only then can the pod scale with requests."""
        return any(port.http_host is not None for container in self.containers for port in container.ports)

    @property
    def least_replicas(self) -> int:
        """Replicas that always run: the manifest's minimum, and 1 for a pod that no request can wake."""
        return self.replicas.min if self.http else max(1, self.replicas.min)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Hosts of its own that it asks for."""
        return tuple(port.http_host for c in self.containers for port in c.ports if port.http_host)

    def with_replica_memory(self, memory_bytes: int) -> Pod:
        """The same pod whose replicas reserve this much memory in all, put into the first container."""
        first = dict(self.containers[0].resources) | {Resource.MEMORY: memory_bytes}
        others = tuple(
            replace(c, resources=tuple((r, n) for r, n in c.resources if r is not Resource.MEMORY))
            for c in self.containers[1:]
        )
        return replace(self, containers=(replace(self.containers[0], resources=ordered(first)), *others))


def ordered(amounts: dict[Resource, int]) -> Amounts:
    """Amounts in the one order that makes equal pods equal; zeros are left out."""
    return tuple((resource, amounts[resource]) for resource in Resource if amounts.get(resource))


def pod_resources(pod: Pod) -> dict[Resource, int]:
    """What one replica reserves, over all its containers, in base units. Volumes are not in it: they are the pod's."""
    return dict(_summed(tuple(container.resources for container in pod.containers)))


@lru_cache(maxsize=1024)
def _summed(containers: tuple[Amounts, ...]) -> Amounts:
    """All amounts together, zeros left out: many pods ask for the same."""
    total: Counter[Resource] = Counter()
    for resources in containers:
        total.update(dict(resources))
    return ordered(total)


def cpu_limit_millis(pod: Pod) -> int:
    """Processor time that one replica uses at most, over all its containers [millicores].

    A container without a limit counts with what it reserves.
    """
    return sum(
        dict(container.limits).get(Resource.CPU, dict(container.resources).get(Resource.CPU, 0))
        for container in pod.containers
    )


def volume_resources(pod: Pod) -> dict[Resource, int]:
    """What the pod's volumes reserve, however many replicas run: storage [bytes]."""
    storage = sum(volume.storage_bytes for volume in pod.volumes)
    return {Resource.STORAGE: storage} if storage else {}


_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_ENV: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PORTS: Final = range(1, 65536)
LABEL: Final = "1 to 63 lower-case letters, digits and dashes"


def _repeated(names: list[str]) -> list[str]:
    if len(set(names)) == len(names):
        return []
    return [name for name, times in Counter(names).items() if times > 1]


def check(pod: Pod, out: Collector | None = None) -> Pod:
    """The pod, when it is consistent.

    Raises:
        BadManifests: all that is wrong with it (nothing is raised when `out` is given: it collects).
    """
    collect = out or Collector()
    add = collect.add
    if not pod.containers:
        add("containers", "at least one container is needed")
    for name in _repeated([c.name for c in pod.containers]):
        add("containers", f"two containers are called '{name}'")
    for name in _repeated([v.name for v in pod.volumes]):
        add("volumes", f"two volumes are called '{name}'")
    for host in _repeated(list(pod.hosts)):
        add("containers", f"two ports ask for the host '{host}'")
    for port in _repeated([str(p.container_port) for c in pod.containers for p in c.ports]):
        add("containers", f"two ports listen on {port}; the containers of a pod share one network address")
    for port in _repeated([str(p.service_port) for c in pod.containers for p in c.ports]):
        add(
            "containers", f"two ports are called at {port}; the containers of a pod share one network address"
        )
    kinds = {volume.name: volume.kind for volume in pod.volumes}
    for i, container in enumerate(pod.containers):
        _check_container(container, f"containers[{i}]", kinds, collect)
    used = {mount.volume for container in pod.containers for mount in container.mounts}
    for i, volume in enumerate(pod.volumes):
        _check_volume(volume, f"volumes[{i}]", used, collect)
    replicas = pod.replicas
    if replicas.min < 0 or replicas.max < 1 or replicas.target_pending_requests < 1:
        add("replicas", "min must be 0 or more, max and targetPendingRequests 1 or more")
    if replicas.min > replicas.max:
        add("replicas", f"min ({replicas.min}) is more than max ({replicas.max})")
    if out is None:
        collect.end()
    return pod


def _check_container(container: Container, at: str, kinds: dict[str, VolumeKind], out: Collector) -> None:
    if not _LABEL.fullmatch(container.name):
        out.add(f"{at}.name", f"'{container.name}' is not allowed: {LABEL}")
    if not container.image.url and not container.image.cid:
        out.add(f"{at}.image", "an image is needed: its name and tag, or the CID of an encrypted one")
    for j, port in enumerate(container.ports):
        for what, number in (("containerPort", port.container_port), ("servicePort", port.service_port)):
            if number not in _PORTS:
                out.add(f"{at}.ports[{j}].{what}", f"{number} is not a port: 1 to 65535")
        if port.tcp_port is not None and port.tcp_port != 0 and port.tcp_port not in _PORTS:
            out.add(
                f"{at}.ports[{j}].hostTcpPort", f"{port.tcp_port} is not a port: 1 to 65535, or 0 for any"
            )
        if port.http_host and not _HOST.fullmatch(port.http_host):
            out.add(
                f"{at}.ports[{j}].hostHttpHost", f"'{port.http_host}' is not a host name such as example.com"
            )
        if port.http_host is not None and port.tcp_port is not None:
            out.add(
                f"{at}.ports[{j}]",
                "a port is reached over HTTP (hostHttpHost) or over TCP (hostTcpPort), not both",
            )
    for name in _repeated([name for name, _ in container.env]):
        out.add(f"{at}.env", f"'{name}' is set twice")
    for name, _ in container.env:
        if not _ENV.fullmatch(name):
            out.add(f"{at}.env", f"'{name}' is not the name of a variable")
    for path in _repeated([mount.path for mount in container.mounts]):
        out.add(f"{at}.volumes", f"two volumes are mounted at '{path}'")
    for j, mount in enumerate(container.mounts):
        if not mount.path.startswith("/"):
            out.add(f"{at}.volumes[{j}].mountPath", f"'{mount.path}' is not an absolute path")
        if mount.volume not in kinds:
            out.add(
                f"{at}.volumes[{j}].name",
                f"the pod has no volume '{mount.volume}'; {hint(mount.volume, kinds)}",
            )
    for resource, amount in container.resources:
        if amount < 0:
            out.add(f"{at}.resources.{resource.value}", f"{amount} is not allowed: 0 or more")
    reserved = dict(container.resources).get(Resource.CPU, 0)
    for resource, amount in container.limits:
        where = f"{at}.limits.{resource.value}"
        if resource is not Resource.CPU:
            out.add(where, "only cpu has a limit of its own; of the rest, what is reserved is the limit")
        elif reserved == 0:
            out.add(
                where,
                f"{amount}m without a request above 0: add `cpu` to the container's `resources`, at most the limit",
            )
        elif amount < reserved:
            out.add(
                where,
                f"{amount}m is less than the {reserved}m that `resources` reserves; allowed: that or more, or no limit",
            )
        elif amount > CPU_LIMIT_MAX_MILLIS:
            out.add(where, f"{amount}m is more than any node has; at most {CPU_LIMIT_MAX_MILLIS}m is allowed")


def _check_volume(volume: Volume, at: str, used: set[str], out: Collector) -> None:
    if not _LABEL.fullmatch(volume.name):
        out.add(f"{at}.name", f"'{volume.name}' is not allowed: {LABEL}")
    if volume.name not in used:
        out.add(
            f"{at}.name", f"no container mounts the volume '{volume.name}'; it would be paid for and not used"
        )
    is_filesystem = volume.kind is VolumeKind.FILESYSTEM
    if is_filesystem != (volume.storage_bytes > 0):
        out.add(at, "a file system needs an amount of storage above 0, and only a file system has one")
    if (volume.kind is VolumeKind.SECRET) != (volume.secret is not None):
        out.add(at, "a secret volume needs a secret, and only a secret volume has one")
    if volume.secret is not None:
        sources = [bool(volume.secret.file), volume.secret.contents is not None, bool(volume.secret.cid)]
        if sum(sources) != 1:
            out.add(f"{at}.secret", "exactly one of file, contents and cid is needed")
        if volume.secret.contents is not None and len(volume.secret.contents) > SECRET_BYTES_MAX:
            out.add(
                f"{at}.secret", f"{len(volume.secret.contents)} bytes; at most {SECRET_BYTES_MAX} are allowed"
            )
