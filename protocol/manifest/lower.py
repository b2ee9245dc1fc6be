"""Reading a manifest from parsed data: the person's form and the protojson form, lowered to a `Pod`.

Every key of both forms is known here, in the tables `CONTAINER`, `PORT`, ...; a key that is in none is
an error that names the nearest. Reading goes on after an error, so that all are reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

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
from protocol.manifest.problems import BadManifests, Collector, hint
from protocol.manifest.reader import Reader
from protocol.manifest.write import canonical
from protocol.quantities import read_bytes, read_cpu_millis, show
from protocol.units import ALIASES, Resource

POD: Final = ("containers", "volumes", "replicas")
CONTAINER: Final = (
    "name", "image", "entrypoint", "command", "workingDir", "ports", "env", "volumes", "resourceRequests",
    "port", "host", "resources", "resourceLimits", "limits",
)  # fmt: skip
IMAGE: Final = ("cid", "key", "url")
PORT: Final = ("name", "containerPort", "servicePort", "hostHttpHost", "hostTcpPort", "port", "host")
MOUNT: Final = ("name", "mountPath", "readOnly", "storage", "secret", "empty", "accessMode")
VOLUME: Final = ("name", "type", "accessMode", "filesystem", "secret", "storage")
SECRET: Final = ("cid", "key", "file", "contents", "contentsString")
REPLICAS: Final = ("min", "max", "targetPendingRequests")
REQUEST: Final = ("resource", "amount", "amountMillis")
_SNAKE: Final[Mapping[str, str]] = {
    "working_dir": "workingDir", "resource_requests": "resourceRequests", "resource_limits": "resourceLimits", "container_port": "containerPort",
    "service_port": "servicePort", "host_http_host": "hostHttpHost", "host_tcp_port": "hostTcpPort",
    "mount_path": "mountPath", "read_only": "readOnly", "access_mode": "accessMode", "amount_millis": "amountMillis",
    "contents_string": "contentsString", "target_pending_requests": "targetPendingRequests",
}  # fmt: skip
"""Protojson reads the message's own field names as well; people write snake case."""


def parse(data: object) -> Pod:
    """The pod that parsed data describes.

    Args:
        data: what a YAML or JSON reader gives: mappings, lists, text, numbers, booleans, null.

    Raises:
        BadManifests: all problems, each with its path such as `containers[0].ports[1].containerPort`.
    """
    out = Collector()
    pod = _Reader(out).pod(data)
    if pod is None:
        raise BadManifests(out.problems)
    read = [problem.path for problem in out.problems]
    found = Collector()
    check(pod, found)
    for problem in found.problems:  # what could not be read is not reported again as inconsistent
        if not any(path.startswith(problem.path) or problem.path.startswith(path) for path in read):
            out.add(problem.path, problem.problem)
    if not out.problems and (size := len(canonical(_without_contents(pod)))) > MANIFEST_BYTES_MAX:
        out.add("", f"the manifest has {size} bytes; at most {MANIFEST_BYTES_MAX} are allowed")
    out.end()
    return pod


def _without_contents(pod: Pod) -> Pod:
    volumes = tuple(
        Volume(
            name=v.name,
            kind=v.kind,
            access=v.access,
            storage_bytes=v.storage_bytes,
            secret=Secret() if v.secret else None,
        )
        for v in pod.volumes
    )
    return Pod(containers=pod.containers, volumes=volumes, replicas=pod.replicas)


class _Reader(Reader):
    """Reads one manifest; what it cannot read it notes in `out` and goes on."""

    OTHER_NAMES = _SNAKE

    def key(self, data: object, at: str) -> bytes:
        if data is None:
            return b""
        if isinstance(data, str):
            return self.binary(data, at)
        return self.binary(self.mapping(data, at, ("data",)).get("data"), f"{at}.data")

    # --- resources ---

    def resource(self, name: object, at: str) -> Resource | None:
        if isinstance(name, str) and name in ALIASES:
            return ALIASES[name]
        self.out.add(at, f"unknown resource {show(name)}; {hint(str(name), ALIASES)}")
        return None

    def amount(self, resource: Resource, value: object, at: str) -> int:
        read: Callable[[object], int] = read_bytes
        if resource is Resource.CPU:
            read = read_cpu_millis
        elif resource in (Resource.GPU, Resource.IP):
            return self.whole(value, at, 0)
        try:
            amount = read(value)
        except ValueError as problem:
            self.out.add(at, str(problem))
            return 0
        if amount < 0:
            self.out.add(at, f"{show(value)} is negative")
            return 0
        return amount

    def amounts(self, fields: Mapping[str, Any], brief: str, full: str, at: str) -> Amounts:
        """Amounts by the person's key, `{cpu: 100m}`, and by the wire's, `[{resource: cpu, amountMillis: 100}]`."""
        short = fields.get(brief)
        total: dict[Resource, int] = {}

        def add(resource: Resource, amount: int, where: str) -> None:
            if resource in total:
                self.out.add(where, f"{resource.value} is given twice")
            if brief == "limits" and amount == 0:
                self.out.add(where, "0 is not allowed: more than 0, or no limit")
            total[resource] = amount

        if short is not None:
            if not isinstance(short, Mapping):
                self.out.add(
                    f"{at}.{brief}", f"{show(short)} is not a mapping such as {{cpu: 100m, memory: 128Mi}}"
                )
                short = {}
            for name, value in short.items():
                where = f"{at}.{brief}.{name}"
                if resource := self.resource(name, where):
                    add(resource, self.amount(resource, value, where), where)
        for i, item in enumerate(self.items(fields.get(full), f"{at}.{full}")):
            where = f"{at}.{full}[{i}]"
            request = self.mapping(item, where, REQUEST)
            if not (resource := self.resource(request.get("resource"), f"{where}.resource")):
                continue
            if ("amount" in request) == ("amountMillis" in request):
                self.out.add(where, "exactly one of amount and amountMillis is needed")
                continue
            millis = self.whole(request.get("amountMillis"), f"{where}.amountMillis", 0)
            millis += 1000 * self.whole(request.get("amount"), f"{where}.amount", 0)
            amount, rest = (millis, 0) if resource is Resource.CPU else divmod(millis, 1000)
            if rest:
                self.out.add(
                    where, f"{millis} thousandths of {resource.value} are not a whole number of its unit"
                )
            add(resource, amount, where)
        return ordered(total)

    # --- the parts of a pod ---

    def pod(self, data: object) -> Pod | None:
        if not isinstance(data, Mapping):
            self.out.add("", f"{show(data)} is not a manifest: a mapping with the keys {', '.join(POD)}")
            return None
        fields = self.mapping(data, "", POD)
        volumes = [
            self.volume(v, f"volumes[{i}]")
            for i, v in enumerate(self.items(fields.get("volumes"), "volumes"))
        ]
        inline: list[Volume] = []
        containers = [
            self.container(c, i, inline)
            for i, c in enumerate(self.items(fields.get("containers"), "containers"))
        ]
        return Pod(
            containers=tuple(containers),
            volumes=tuple(volumes + inline),
            replicas=self.replicas(fields.get("replicas"), "replicas"),
        )

    def replicas(self, data: object, at: str) -> Replicas:
        if data is None:
            return Replicas()
        fields = self.mapping(data, at, REPLICAS)
        least = self.whole(fields.get("min"), f"{at}.min", 0, 2**32 - 1)
        most = self.whole(fields.get("max"), f"{at}.max", 0, 2**32 - 1)
        if fields.get("max") is not None and most == 0 and not self.out.problems:
            self.out.add(f"{at}.max", "0 is not allowed: 1 or more (a pod that must not run is deleted)")
        target = self.whole(fields.get("targetPendingRequests"), f"{at}.targetPendingRequests", 0, 2**32 - 1)
        return Replicas(
            min=least,
            max=most or max(REPLICAS_MAX_DEFAULT, least),
            target_pending_requests=target or TARGET_DEFAULT,
        )

    def container(self, data: object, index: int, inline: list[Volume]) -> Container:
        at = f"containers[{index}]"
        fields = self.mapping(data, at, CONTAINER)
        image = self.image(fields.get("image"), f"{at}.image")
        name = self.text(fields.get("name"), f"{at}.name", _name_of(image.url) or f"container-{index}")
        ports = [
            self.port(p, f"{at}.ports[{i}]")
            for i, p in enumerate(self.items(fields.get("ports"), f"{at}.ports"))
        ]
        if "port" in fields or "host" in fields:
            ports.insert(0, self.short_port(fields, at))
        return Container(
            name=name,
            image=image,
            entrypoint=self.words(fields.get("entrypoint"), f"{at}.entrypoint"),
            command=self.words(fields.get("command"), f"{at}.command"),
            working_dir=self.text(fields.get("workingDir"), f"{at}.workingDir"),
            ports=tuple(ports),
            env=self.env(fields.get("env"), f"{at}.env"),
            mounts=tuple(
                self.mount(m, f"{at}.volumes[{i}]", f"{name}-{i}", inline)
                for i, m in enumerate(self.items(fields.get("volumes"), f"{at}.volumes"))
            ),
            resources=self.amounts(fields, "resources", "resourceRequests", at),
            limits=self.amounts(fields, "limits", "resourceLimits", at),
        )

    def image(self, data: object, at: str) -> Image:
        if isinstance(data, str):
            return Image(url=data)
        if data is None:
            return Image()
        fields = self.mapping(data, at, IMAGE)
        return Image(
            url=self.text(fields.get("url"), f"{at}.url"),
            cid=self.binary(fields.get("cid"), f"{at}.cid"),
            key=self.key(fields.get("key"), f"{at}.key"),
        )

    def short_port(self, fields: Mapping[str, Any], at: str) -> Port:
        """`port: 80`, `host: example.com` on the container itself: an HTTP port."""
        if "port" not in fields:
            self.out.add(f"{at}.host", "a host needs the port that is behind it: add `port`")
        port = self.whole(fields.get("port", 80), f"{at}.port", 0, 65535)
        return Port(
            container_port=port, service_port=port, http_host=self.text(fields.get("host"), f"{at}.host")
        )

    def port(self, data: object, at: str) -> Port:
        """`80`, `"123:321"` (outside:container, TCP), or a mapping."""
        if isinstance(data, str | int) and not isinstance(data, bool):
            outside, _, inside = str(data).rpartition(":")
            container = self.whole(inside, at, 0, 65535)
            service = self.whole(outside, at, 0, 65535) if outside else container
            return Port(container_port=container, service_port=service, tcp_port=service if outside else None)
        fields = self.mapping(data, at, PORT)
        if "port" in fields and "containerPort" in fields:
            self.out.add(at, "`port` and `containerPort` are the same; give one")
        if "host" in fields and "hostHttpHost" in fields:
            self.out.add(at, "`host` and `hostHttpHost` are the same; give one")
        inside_key = "port" if "port" in fields else "containerPort"
        if fields and inside_key not in fields:
            self.out.add(at, "a containerPort is needed")
        container = self.whole(fields.get(inside_key), f"{at}.{inside_key}", 0, 65535)
        host = fields.get("host", fields.get("hostHttpHost"))
        tcp = fields.get("hostTcpPort")
        return Port(
            name=self.text(fields.get("name"), f"{at}.name"),
            container_port=container,
            service_port=self.whole(fields.get("servicePort"), f"{at}.servicePort", 0, 65535) or container,
            http_host=None if host is None else self.text(host, f"{at}.host"),
            tcp_port=None if tcp is None else self.whole(tcp, f"{at}.hostTcpPort", 0, 65535),
        )

    def env(self, data: object, at: str) -> tuple[tuple[str, str], ...]:
        """A mapping, a list of `NAME=value`, or a list of `{name, value}`."""
        pairs: list[tuple[str, str]] = []
        if isinstance(data, Mapping):
            pairs = [(str(name), self.value(value, f"{at}.{name}")) for name, value in data.items()]
        else:
            for i, item in enumerate(self.items(data, at)):
                if isinstance(item, str):
                    name, equals, value = item.partition("=")
                    if not equals:
                        self.out.add(f"{at}[{i}]", f"{show(item)} is not NAME=value")
                    pairs.append((name, value))
                else:
                    fields = self.mapping(item, f"{at}[{i}]", ("name", "value"))
                    name = self.text(fields.get("name"), f"{at}[{i}].name")
                    pairs.append((name, self.value(fields.get("value", ""), f"{at}[{i}].value")))
        return tuple(sorted(pairs))

    def value(self, data: object, at: str) -> str:
        if isinstance(data, bool):
            return "true" if data else "false"
        if isinstance(data, str | int | float):
            return str(data)
        self.out.add(at, f"{show(data)} is not the value of a variable: text, a number, true or false")
        return ""

    def mount(self, data: object, at: str, default_name: str, inline: list[Volume]) -> Mount:
        """A mount of a volume of the pod, or, with `storage`, `secret` or `empty`, a volume of its own."""
        fields = self.mapping(data, at, MOUNT)
        own = [key for key in ("storage", "secret", "empty") if key in fields]
        name = self.text(fields.get("name"), f"{at}.name", default_name if own else "")
        if not own and not name and fields:
            self.out.add(
                at,
                "a mount needs the `name` of a volume, or `storage`, `secret` or `empty: true` for its own",
            )
        if len(own) > 1:
            self.out.add(at, f"a volume is one of storage, secret and empty, not {' and '.join(own)}")
        access = self.access(fields.get("accessMode"), f"{at}.accessMode")
        if "storage" in fields:
            storage = self.amount(Resource.STORAGE, fields["storage"], f"{at}.storage")
            inline.append(Volume(name=name, kind=VolumeKind.FILESYSTEM, access=access, storage_bytes=storage))
        elif "secret" in fields:
            secret = self.secret(fields["secret"], f"{at}.secret")
            inline.append(Volume(name=name, kind=VolumeKind.SECRET, access=access, secret=secret))
        elif self.flag(fields.get("empty"), f"{at}.empty"):
            inline.append(Volume(name=name, kind=VolumeKind.EMPTY, access=access))
        return Mount(
            volume=name,
            path=self.text(fields.get("mountPath"), f"{at}.mountPath"),
            read_only=self.flag(fields.get("readOnly"), f"{at}.readOnly"),
        )

    def access(self, data: object, at: str) -> AccessMode:
        return AccessMode(self.choice(data, at, {mode.name: mode.value for mode in AccessMode}))

    def choice(self, data: object, at: str, known: Mapping[str, int]) -> int:
        if data is None:
            return 0
        if isinstance(data, str) and data.upper() in known:
            return known[data.upper()]
        if isinstance(data, int) and not isinstance(data, bool) and data in known.values():
            return data
        self.out.add(at, f"{show(data)} is not known; {hint(str(data), known)}")
        return 0

    def secret(self, data: object, at: str) -> Secret:
        if isinstance(data, str):
            return Secret(contents=data.encode())
        fields = self.mapping(data, at, SECRET)
        contents = None
        if "contentsString" in fields:
            contents = self.text(fields["contentsString"], f"{at}.contentsString").encode()
        if "contents" in fields:
            if contents is not None:
                self.out.add(at, "`contents` and `contentsString` are the same; give one")
            contents = self.binary(fields["contents"], f"{at}.contents")
        return Secret(
            file=self.text(fields.get("file"), f"{at}.file"),
            contents=contents,
            cid=self.binary(fields.get("cid"), f"{at}.cid"),
            key=self.key(fields.get("key"), f"{at}.key"),
        )

    def volume(self, data: object, at: str) -> Volume:
        fields = self.mapping(data, at, VOLUME)
        guess = (
            "secret"
            if "secret" in fields
            else "filesystem"
            if {"filesystem", "storage"} & set(fields)
            else "empty"
        )
        kinds = {kind.name: kind.value for kind in VolumeKind}
        kind = VolumeKind(self.choice(fields.get("type", guess), f"{at}.type", kinds))
        storage = 0
        if "storage" in fields:
            storage = self.amount(Resource.STORAGE, fields["storage"], f"{at}.storage")
        if "filesystem" in fields:
            inner = self.mapping(fields["filesystem"], f"{at}.filesystem", ("resourceRequests",))
            amounts = dict(self.amounts(inner, "resources", "resourceRequests", f"{at}.filesystem"))
            storage += amounts.pop(Resource.STORAGE, 0)
            for other in amounts:
                self.out.add(f"{at}.filesystem", f"a volume has storage, not {other.value}")
        return Volume(
            name=self.text(fields.get("name"), f"{at}.name"),
            kind=kind,
            access=self.access(fields.get("accessMode"), f"{at}.accessMode"),
            storage_bytes=storage,
            secret=self.secret(fields["secret"], f"{at}.secret") if "secret" in fields else None,
        )


def _name_of(url: str) -> str:
    """A container's default name: the last part of its image's name, `redis` of `docker.io/library/redis:alpine`."""
    return url.rsplit("/", 1)[-1].split("@")[0].split(":")[0].lower().replace("_", "-").replace(".", "-")
