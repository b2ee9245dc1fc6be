"""Writing a pod: its protojson form, and the bytes that its hash is taken over."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

from protocol.manifest.model import Amounts, Container, Pod, Port, Volume, VolumeKind
from protocol.units import Resource

_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _b64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _amounts(amounts: Amounts) -> list[dict[str, Any]]:
    def one(resource: Resource, amount: int) -> dict[str, Any]:
        if resource is Resource.CPU:
            return {"resource": resource.value, "amountMillis": amount}
        return {"resource": resource.value, "amount": amount}

    return [one(resource, amount) for resource, amount in amounts]


def _port(port: Port) -> dict[str, Any]:
    data: dict[str, Any] = {"name": port.name} if port.name else {}
    data |= {"containerPort": port.container_port, "servicePort": port.service_port}
    if port.http_host is not None:
        data["hostHttpHost"] = port.http_host
    if port.tcp_port is not None:
        data["hostTcpPort"] = port.tcp_port
    return data


def _container(container: Container) -> dict[str, Any]:
    image = {
        "url": container.image.url,
        "cid": _b64(container.image.cid),
        "key": {"data": _b64(container.image.key)} if container.image.key else "",
    }
    data: dict[str, Any] = {"name": container.name, "image": {k: v for k, v in image.items() if v}}
    optional: dict[str, Any] = {
        "entrypoint": list(container.entrypoint),
        "command": list(container.command),
        "workingDir": container.working_dir,
        "ports": [_port(port) for port in container.ports],
        "env": dict(container.env),
        "volumes": [
            {"name": m.volume, "mountPath": m.path, **({"readOnly": True} if m.read_only else {})}
            for m in container.mounts
        ],
        "resourceRequests": _amounts(container.resources),
        "resourceLimits": _amounts(container.limits),
    }
    return data | {k: v for k, v in optional.items() if v}


def _volume(volume: Volume) -> dict[str, Any]:
    data: dict[str, Any] = {"name": volume.name, "type": volume.kind.name, "accessMode": volume.access.name}
    if volume.kind is VolumeKind.FILESYSTEM:
        data["filesystem"] = {"resourceRequests": _amounts(((Resource.STORAGE, volume.storage_bytes),))}
    if volume.secret is not None:
        secret = volume.secret
        data["secret"] = {
            **({"file": secret.file} if secret.file else {}),
            **({"contents": _b64(secret.contents)} if secret.contents is not None else {}),
            **({"cid": _b64(secret.cid)} if secret.cid else {}),
            **({"key": {"data": _b64(secret.key)}} if secret.key else {}),
        }
    return data


def to_data(pod: Pod) -> dict[str, Any]:
    """The pod in protojson form (numbers as numbers, bytes in base64): `parse(to_data(pod)) == pod`."""
    data: dict[str, Any] = {"containers": [_container(container) for container in pod.containers]}
    if pod.volumes:
        data["volumes"] = [_volume(volume) for volume in pod.volumes]
    data["replicas"] = {
        "min": pod.replicas.min,
        "max": pod.replicas.max,
        "targetPendingRequests": pod.replicas.target_pending_requests,
    }
    return data


def canonical(pod: Pod) -> bytes:
    """The one text of a pod that hashes are taken over: JSON, keys sorted, no spaces, UTF-8."""
    return _CANONICAL.encode(to_data(pod)).encode()
