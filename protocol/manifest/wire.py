"""A pod on the wire: the `Pod` message, field by field, both ways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from protocol.errors import BadManifest
from protocol.manifest.model import (
    MANIFEST_BYTES_MAX,
    REPLICAS_MAX_DEFAULT,
    TARGET_DEFAULT,
    AccessMode,
    Amounts,
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
    ordered,
)
from protocol.manifest.problems import hint
from protocol.units import ALIASES, Resource
from protocol.wire import trusted_pods_pb2 as pb

_KINDS: Final = {
    VolumeKind.EMPTY: pb.Volume.EMPTY,
    VolumeKind.FILESYSTEM: pb.Volume.FILESYSTEM,
    VolumeKind.SECRET: pb.Volume.SECRET,
}
_ACCESS: Final = {AccessMode.RW_ONE: pb.Volume.RW_ONE, AccessMode.RW_MANY: pb.Volume.RW_MANY}


def _amounts_to_wire(amounts: Amounts) -> list[pb.Resource]:
    return [
        pb.Resource(resource=r.value, amountMillis=n)
        if r is Resource.CPU
        else pb.Resource(resource=r.value, amount=n)
        for r, n in amounts
    ]


def _port_to_wire(port: Port) -> pb.Container.Port:
    message = pb.Container.Port(
        name=port.name, containerPort=port.container_port, servicePort=port.service_port
    )
    if port.http_host is not None:
        message.hostHttpHost = port.http_host
    if port.tcp_port is not None:
        message.hostTcpPort = port.tcp_port
    return message


def _container_to_wire(container: Container) -> pb.Container:
    message = pb.Container(
        name=container.name,
        image=pb.Container.Image(cid=container.image.cid, url=container.image.url),
        entrypoint=container.entrypoint,
        command=container.command,
        workingDir=container.working_dir,
        ports=[_port_to_wire(port) for port in container.ports],
        env=dict(container.env),
        volumes=[
            pb.Container.VolumeMount(name=m.volume, mountPath=m.path, readOnly=m.read_only)
            for m in container.mounts
        ],
        resourceRequests=_amounts_to_wire(container.resources),
        resourceLimits=_amounts_to_wire(container.limits),
    )
    if container.image.key:
        message.image.key.data = container.image.key
    return message


def _volume_to_wire(volume: Volume) -> pb.Volume:
    message = pb.Volume(
        name=volume.name,
        type=_KINDS[volume.kind],
        accessMode=_ACCESS[volume.access],
    )
    if volume.kind is VolumeKind.FILESYSTEM:
        message.filesystem.resourceRequests.extend(
            _amounts_to_wire(((Resource.STORAGE, volume.storage_bytes),))
        )
    if volume.secret is not None:
        message.secret.SetInParent()
        message.secret.file = volume.secret.file
        message.secret.cid = volume.secret.cid
        message.secret.contents = volume.secret.contents or b""
        if volume.secret.key:
            message.secret.key.data = volume.secret.key
    return message


def to_wire(pod: Pod) -> pb.Pod:
    """The `Pod` message."""
    return pb.Pod(
        containers=[_container_to_wire(container) for container in pod.containers],
        volumes=[_volume_to_wire(volume) for volume in pod.volumes],
        replicas=pb.Replicas(
            min=pod.replicas.min,
            max=pod.replicas.max,
            targetPendingRequests=pod.replicas.target_pending_requests,
        ),
    )


def _amounts_from_wire(requests: Iterable[pb.Resource], at: str) -> Amounts:
    total: dict[Resource, int] = {}
    for j, request in enumerate(requests):
        resource = ALIASES.get(request.resource)
        if resource is None:
            known = hint(request.resource, ALIASES)
            raise BadManifest(f"{at}[{j}]", f"unknown resource '{request.resource}'; {known}")
        millis = (
            request.amountMillis
            if request.WhichOneof("quantity") == "amountMillis"
            else request.amount * 1000
        )
        amount, rest = (millis, 0) if resource is Resource.CPU else divmod(millis, 1000)
        if rest:
            raise BadManifest(f"{at}[{j}]", f"{millis} thousandths of {resource.value} are not whole")
        total[resource] = total.get(resource, 0) + amount
    return ordered(total)


def _port_from_wire(port: pb.Container.Port) -> Port:
    exposed = port.WhichOneof("exposedPort")
    return Port(
        name=port.name,
        container_port=port.containerPort,
        service_port=port.servicePort or port.containerPort,
        http_host=port.hostHttpHost if exposed == "hostHttpHost" else None,
        tcp_port=port.hostTcpPort if exposed == "hostTcpPort" else None,
    )


def _container_from_wire(container: pb.Container, at: str) -> Container:
    return Container(
        name=container.name,
        image=Image(url=container.image.url, cid=container.image.cid, key=container.image.key.data),
        entrypoint=tuple(container.entrypoint),
        command=tuple(container.command),
        working_dir=container.workingDir,
        ports=tuple(_port_from_wire(port) for port in container.ports),
        env=tuple(sorted(container.env.items())),
        mounts=tuple(Mount(volume=m.name, path=m.mountPath, read_only=m.readOnly) for m in container.volumes),
        resources=_amounts_from_wire(container.resourceRequests, f"{at}.resourceRequests"),
        limits=_amounts_from_wire(container.resourceLimits, f"{at}.resourceLimits"),
    )


def _volume_from_wire(volume: pb.Volume, at: str) -> Volume:
    secret = None
    if volume.HasField("secret"):
        given = volume.secret
        contents = given.contents or given.contentsString.encode() or None
        if contents is None and not given.file and not given.cid:
            contents = b""
        secret = Secret(file=given.file, contents=contents, cid=given.cid, key=given.key.data)
    storage = dict(
        _amounts_from_wire(volume.filesystem.resourceRequests, f"{at}.filesystem.resourceRequests")
    )
    try:
        kind, access = VolumeKind(volume.type), AccessMode(volume.accessMode)
    except ValueError as unknown:
        raise BadManifest(at, f"a kind of volume that is not known: {unknown}") from None
    return Volume(
        name=volume.name,
        kind=kind,
        access=access,
        storage_bytes=storage.get(Resource.STORAGE, 0),
        secret=secret,
    )


def from_wire(message: pb.Pod) -> Pod:
    """The pod of a message; zeros in `replicas` are the defaults, as on the wire they cannot be told apart.

    Raises:
        BadManifest: it is too large or inconsistent.
    """
    secrets = sum(len(v.secret.contents) + len(v.secret.contentsString) for v in message.volumes)
    if message.ByteSize() - secrets > MANIFEST_BYTES_MAX:
        raise BadManifest("", f"{message.ByteSize()} bytes; at most {MANIFEST_BYTES_MAX} are allowed")
    replicas = message.replicas
    return check(
        Pod(
            containers=tuple(
                _container_from_wire(c, f"containers[{i}]") for i, c in enumerate(message.containers)
            ),
            volumes=tuple(_volume_from_wire(v, f"volumes[{i}]") for i, v in enumerate(message.volumes)),
            replicas=Replicas(
                min=replicas.min,
                max=replicas.max or max(REPLICAS_MAX_DEFAULT, replicas.min),
                target_pending_requests=replicas.targetPendingRequests or TARGET_DEFAULT,
            ),
        )
    )
