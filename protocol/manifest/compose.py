"""docker-compose files, written as manifests in the person's form: `parse` reads what comes out.

Source: the Compose specification (compose-spec.io, "05-services" to "11-extension"). A service becomes a container;
all services of a file become one pod, so they share one network address and scale together. What a pod cannot keep
is an error where running without it would be another application (`build`, `privileged`, a bind mount), and a
notice where it would not (`restart`, `depends_on`, `labels`). What compose has no word for is said in `x-trusted-pods`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from protocol.errors import BadManifest
from protocol.manifest.compose_keys import EXTENSION, HTTP_PORTS, IGNORED, ONE_OF_EACH, REFUSED, SERVICE, TOP
from protocol.manifest.interpolation import interpolate
from protocol.manifest.lower import parse
from protocol.manifest.model import Pod
from protocol.manifest.problems import BadManifests, Collector, hint
from protocol.manifest.reader import Reader
from protocol.quantities import show, write_bytes

_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(b|k|kb|m|mb|g|gb|t|tb)?", re.IGNORECASE)
_SIZES: Final = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MODES: Final = frozenset({"rw", "ro", "z", "Z", "cached", "delegated", "consistent", "nocopy"})


@dataclass(frozen=True, slots=True)
class Composed:
    """A compose file as a manifest.

    Attributes:
        manifest: in the person's form, as `parse` reads it.
        pod: what it says.
        notices: what the file says and the pod does without, or what was assumed: the place, and a text.
    """

    manifest: dict[str, Any]
    pod: Pod
    notices: tuple[tuple[str, str], ...]


def from_compose(
    data: object, *, environment: Mapping[str, str] | None = None, read: Callable[[str], str] | None = None
) -> Composed:
    """The pod that a compose file describes.

    Args:
        data: what a YAML reader gives.
        environment: for `${NAME}` in values.
        read: gives the text of a file that the compose file names (`env_file`); None: none can be read.

    Raises:
        BadManifests: all problems, each with its path in the compose file, such as `services.web.ports[0]`.
    """
    out = Collector()
    whole = interpolate(data, environment or {}, out)
    lowering = _Lowering(out, environment or {}, read)
    manifest = lowering.file(whole)
    out.end()
    try:
        pod = parse(manifest)
    except BadManifests as found:
        raise BadManifests(lowering.placed(problem) for problem in found.problems) from None
    return Composed(manifest, pod, tuple(lowering.notices))


def is_compose(data: object) -> bool:
    """Whether parsed data is meant as a compose file: it has services, and no containers."""
    return isinstance(data, Mapping) and "services" in data and "containers" not in data


class _Lowering(Reader):
    """Lowers one file; what it cannot lower it notes in `out` and goes on."""

    def __init__(
        self, out: Collector, environment: Mapping[str, str], read: Callable[[str], str] | None
    ) -> None:
        super().__init__(out)
        self.notices: list[tuple[str, str]] = []
        self._environment = environment
        self._read = read
        self._services: list[str] = []
        self._volumes: dict[str, Any] = {}
        self._used: dict[str, dict[str, Any]] = {}
        self._blobs: dict[str, Mapping[str, Any]] = {}

    def placed(self, problem: BadManifest) -> BadManifest:
        """A problem of the manifest, at its place in the compose file."""
        found = re.match(r"containers\[(\d+)\]\.?(.*)", problem.path)
        if found:
            rest = f".{found[2]}" if found[2] else ""
            return BadManifest(f"services.{self._services[int(found[1])]}{rest}", problem.problem)
        found = re.match(r"volumes\[(\d+)\]", problem.path)
        if found:
            return BadManifest(f"volumes.{list(self._used)[int(found[1])]}", problem.problem)
        where = {"replicas": f"{EXTENSION}.replicas", "containers": "services"}
        return BadManifest(where.get(problem.path, problem.path), problem.problem)

    def file(self, data: object) -> dict[str, Any]:
        if not isinstance(data, Mapping) or "services" not in data:
            self.out.add("", f"{show(data)} is not a compose file: a mapping with `services`")
            return {}
        fields = self.known(data, "", TOP)
        own = self.mapping(data.get(EXTENSION, {}), EXTENSION, ("replicas",))
        self._volumes = self.named(fields.get("volumes"), "volumes")
        for kind in ("secrets", "configs"):
            for name, said in self.named(fields.get(kind), kind).items():
                self._blobs[f"{kind}.{name}"] = self.blob(said, f"{kind}.{name}")
        containers = [
            container
            for name, service in self.named(fields.get("services"), "services").items()
            if (container := self.service(str(name), service, f"services.{name}")) is not None
        ]
        manifest: dict[str, Any] = {"containers": containers}
        if self._used:
            manifest["volumes"] = list(self._used.values())
        if "replicas" in own:
            manifest["replicas"] = own["replicas"]
        for name in self._volumes.keys() - {str(v) for v in self._used}:
            self.notices.append((f"volumes.{name}", "no service mounts it; left out"))
        return manifest

    # --- keys ---

    def known(self, data: Mapping[Any, Any], at: str, known: tuple[str, ...]) -> dict[str, Any]:
        """Like `mapping`, with extensions (`x-…`) left out."""
        kept = {key: value for key, value in data.items() if not str(key).startswith("x-") or key in known}
        return self.mapping(kept, at, known)

    def named(self, data: object, at: str) -> dict[str, Any]:
        if data is None:
            return {}
        if not isinstance(data, Mapping):
            self.out.add(at, f"{show(data)} is not a mapping of names")
            return {}
        return {str(name): value for name, value in data.items()}

    def service(self, name: str, data: object, at: str) -> dict[str, Any] | None:
        if not isinstance(data, Mapping):
            self.out.add(at, f"{show(data)} is not a service: a mapping with `image`")
            return None
        if data.get("profiles"):
            self.notices.append((at, "it is started on request only (`profiles`); left out"))
            return None
        kept = {}
        for key, value in data.items():
            if key in IGNORED:
                self.notices.append((f"{at}.{key}", f"left out: {IGNORED[key]}"))
            elif key in REFUSED:
                if value not in (False, None, [], {}):
                    self.out.add(f"{at}.{key}", f"a pod cannot have this: {REFUSED[key]}")
            elif str(key) not in SERVICE and not str(key).startswith("x-"):
                near = hint(str(key), [*SERVICE, *IGNORED])
                self.out.add(f"{at}.{key}", f"unknown key; {near}")
            else:
                kept[str(key)] = value
        self._services.append(name)
        own = self.mapping(kept.get(EXTENSION, {}), f"{at}.{EXTENSION}", ("port", "host"))
        deploy = self.deploy(kept.get("deploy", {}), f"{at}.deploy")
        if kept.get("scale", 1) != 1:
            self.out.add(f"{at}.scale", ONE_OF_EACH)
        container: dict[str, Any] = {"name": name, "image": self.text(kept.get("image"), f"{at}.image")}
        container |= {
            "entrypoint": kept.get("entrypoint"),
            "command": kept.get("command"),
            "workingDir": kept.get("working_dir"),
            "env": self.variables(kept, at),
            **self.ports(kept, own, at),
            "volumes": self.mounts(kept, at),
            **self.amounts(kept, deploy, at),
        }
        return {key: value for key, value in container.items() if value not in (None, {}, [])}

    def deploy(self, data: object, at: str) -> dict[str, Any]:
        if not isinstance(data, Mapping):
            self.out.add(at, f"{show(data)} is not a mapping")
            return {}
        for key in data:
            if key not in ("resources", "replicas"):
                self.notices.append((f"{at}.{key}", "left out: the provider places and restarts"))
        if data.get("replicas", 1) != 1:
            self.out.add(f"{at}.replicas", ONE_OF_EACH)
        return self.mapping(data.get("resources", {}), f"{at}.resources", ("limits", "reservations"))

    # --- what a service has ---

    def variables(self, service: Mapping[str, Any], at: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        files = service.get("env_file")
        for i, item in enumerate(files if isinstance(files, list) else [files] if files else []):
            where = f"{at}.env_file[{i}]" if isinstance(files, list) else f"{at}.env_file"
            path = item.get("path") if isinstance(item, Mapping) else item
            optional = isinstance(item, Mapping) and item.get("required") is False
            try:
                if self._read is None:
                    raise OSError(f"{show(path)} cannot be read here")
                found |= dict(_dotenv(self._read(str(path))))
            except OSError as error:
                if not optional:
                    self.out.add(where, str(error))
        said = service.get("environment")
        if isinstance(said, Mapping):
            pairs = [(str(name), value) for name, value in said.items()]
        else:
            lines = [
                self.text(line, f"{at}.environment[{i}]")
                for i, line in enumerate(self.items(said, f"{at}.environment"))
            ]
            pairs = [
                (name, value if equals else None)
                for name, equals, value in (line.partition("=") for line in lines)
            ]
        for name, value in pairs:
            if value is not None:
                found[name] = value
            elif name in self._environment:  # named alone: taken from where compose is called
                found[name] = self._environment[name]
            else:
                self.notices.append((f"{at}.environment", f"{name} has no value here; left out"))
        return found

    def ports(self, service: Mapping[str, Any], own: Mapping[str, Any], at: str) -> dict[str, Any]:
        """Published ports: HTTP or TCP; exposed ones: for the other containers."""
        http = self.whole(own["port"], f"{at}.{EXTENSION}.port", 0, 65535) if "port" in own else None
        ports: list[dict[str, Any]] = []
        for i, item in enumerate(self.items(service.get("ports"), f"{at}.ports")):
            found = self.published(item, f"{at}.ports[{i}]", http)
            if found is not None:
                ports.append(found)
        known = {port["containerPort"] for port in ports}
        for i, item in enumerate(self.items(service.get("expose"), f"{at}.expose")):
            number = self.whole(str(item).removesuffix("/tcp"), f"{at}.expose[{i}]", 0, 65535)
            if number and number not in known:
                ports.append({"containerPort": number})
        if http is not None and http not in {port["containerPort"] for port in ports}:
            ports.append({"containerPort": http, "host": ""})
        if "host" in own:
            served = [port for port in ports if "host" in port]
            if len(served) != 1:
                where = f"{at}.{EXTENSION}.host"
                self.out.add(where, f"{len(served)} ports are HTTP; say which one with `port` beside `host`")
            for port in served[:1]:
                port["host"] = own["host"]
        return {"ports": ports}

    def published(self, item: object, at: str, http: int | None) -> dict[str, Any] | None:
        """`80`, `"8080:80"`, `"127.0.0.1:8080:80/tcp"`, or the long form."""
        protocol, kind = "tcp", ""
        outside: object = None
        if isinstance(item, Mapping):
            fields = self.known(
                item, at, ("target", "published", "protocol", "app_protocol", "mode", "host_ip", "name")
            )
            inside, outside = fields.get("target"), fields.get("published")
            protocol, kind = fields.get("protocol", "tcp"), str(fields.get("app_protocol", ""))
        else:
            text, _, said = str(item).partition("/")
            protocol = said or "tcp"
            *before, inside = text.rsplit(":", 2)
            outside = before[-1] if before and "." not in before[-1] else None
        if protocol != "tcp":
            self.out.add(at, f"protocol {show(protocol)} cannot be published; a pod has TCP and HTTP")
            return None
        if "-" in f"{inside}{outside or ''}":
            self.out.add(at, f"{show(item)} is a range; name each port")
            return None
        number = self.whole(inside, at, 0, 65535)
        if kind in ("http", "http2", "https") or number == http:
            return {"containerPort": number, "host": ""}
        if not kind and http is None and number in HTTP_PORTS:
            self.notices.append(
                (at, f"{number} is taken for HTTP; if it is not, say `app_protocol: tcp` there")
            )
            return {"containerPort": number, "host": ""}
        return {"containerPort": number, "hostTcpPort": self.whole(outside, at, 0, 65535)}

    def mounts(self, service: Mapping[str, Any], at: str) -> list[dict[str, Any]]:
        found = []
        for i, item in enumerate(self.items(service.get("volumes"), f"{at}.volumes")):
            mount = self.mount(item, f"{at}.volumes[{i}]")
            if mount is not None:
                found.append(mount)
        paths = service.get("tmpfs")
        places = [paths] if isinstance(paths, str) else self.items(paths, f"{at}.tmpfs")
        found += [{"mountPath": str(path).partition(":")[0], "empty": True} for path in places]
        for kind in ("secrets", "configs"):
            for i, item in enumerate(self.items(service.get(kind), f"{at}.{kind}")):
                blob = self.use(kind, item, f"{at}.{kind}[{i}]")
                if blob is not None:
                    found.append(blob)
        return found

    def mount(self, item: object, at: str) -> dict[str, Any] | None:
        if isinstance(item, Mapping):
            fields = self.known(
                item, at, ("type", "source", "target", "read_only", "volume", "bind", "tmpfs", "consistency")
            )
            kind, source, path = fields.get("type"), fields.get("source"), fields.get("target")
            read_only = self.flag(fields.get("read_only"), f"{at}.read_only")
        else:
            parts = self.text(item, at).split(":")
            source, path = (parts[0], parts[1]) if len(parts) > 1 else (None, parts[0])
            said = set(parts[2].split(",") if len(parts) > 2 else ())
            if len(parts) > 3 or said - _MODES:
                self.out.add(at, f"{show(item)} is not [SOURCE:]PATH[:ro]")
                return None
            kind = "bind" if str(source or "")[:1] in ("/", ".", "~") else "volume"
            read_only = "ro" in said
        mount: dict[str, Any] = {"mountPath": path} | ({"readOnly": True} if read_only else {})
        match kind:
            case "tmpfs":
                return mount | {"empty": True}
            case "volume" if not source:
                return mount | {"empty": True}
            case "volume":
                return mount | {"name": self.volume(str(source), at)}
            case _:
                self.out.add(
                    at,
                    f"{show(source)} is a path of this machine, which the provider does not have; "
                    "a file can go along as a `secret` or a `config`",
                )
                return None

    def volume(self, name: str, at: str) -> str:
        """The pod's volume of that name, in the letters that one may have."""
        label = re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")
        if name not in self._volumes:
            self.out.add(at, f"the file has no volume '{name}'; {hint(name, self._volumes)}")
        elif name not in self._used:
            where = f"volumes.{name}"
            said = self.named(self._volumes[name], where)
            own = self.mapping(said.get(EXTENSION, {}), f"{where}.{EXTENSION}", ("storage",))
            if said.get("external"):
                self.out.add(where, "it is of another application (`external`); a pod has its own volumes")
            elif "storage" not in own:
                self.out.add(
                    where, f"how large? add `{EXTENSION}: {{storage: 10Gi}}`; it is paid for by the hour"
                )
            self._used[name] = {"name": label, "storage": own.get("storage", "1Gi")}
        return label

    def blob(self, said: object, at: str) -> Mapping[str, Any]:
        """What a secret or a config holds, as the person's form says it."""
        fields = self.known(
            said if isinstance(said, Mapping) else {},
            at,
            ("file", "environment", "content", "external", "name"),
        )
        if "file" in fields:
            return {"file": self.text(fields["file"], f"{at}.file")}
        if "content" in fields:
            return {"contentsString": self.text(fields["content"], f"{at}.content")}
        if "environment" in fields:
            name = self.text(fields["environment"], f"{at}.environment")
            if name in self._environment:
                return {"contentsString": self._environment[name]}
            self.out.add(f"{at}.environment", f"{name} is not set")
            return {}
        self.out.add(at, "its contents are not here; give `file`, `content` or `environment`")
        return {}

    def use(self, kind: str, item: object, at: str) -> dict[str, Any] | None:
        fields = {"source": item} if isinstance(item, str) else self.known(
            item if isinstance(item, Mapping) else {}, at, ("source", "target", "uid", "gid", "mode")
        )  # fmt: skip
        name = self.text(fields.get("source"), f"{at}.source")
        if f"{kind}.{name}" not in self._blobs:
            known = [key.partition(".")[2] for key in self._blobs if key.startswith(kind)]
            self.out.add(at, f"the file has no such {kind[:-1]} '{name}'; {hint(name, known)}")
            return None
        root = "/run/secrets/" if kind == "secrets" else "/"
        target = self.text(fields.get("target"), f"{at}.target", name)
        path = target if target.startswith("/") else root + target
        return {"mountPath": path, "readOnly": True, "secret": dict(self._blobs[f"{kind}.{name}"])}

    def amounts(self, service: Mapping[str, Any], deploy: Mapping[str, Any], at: str) -> dict[str, Any]:
        """What is reserved, and how much processor time beyond it may be used."""
        inside = f"{at}.deploy.resources"
        least = self.mapping(
            deploy.get("reservations", {}),
            f"{inside}.reservations",
            ("cpus", "memory", "devices", "pids", "generic_resources"),
        )
        most = self.mapping(deploy.get("limits", {}), f"{inside}.limits", ("cpus", "memory", "pids"))
        reserved = least.get("cpus")
        limit = most.get("cpus", service.get("cpus"))
        # Of memory, what is reserved is the limit: the larger of the two is what the application was made for.
        sizes = [
            self.size(value, where)
            for value, where in (
                (most.get("memory"), f"{inside}.limits.memory"),
                (service.get("mem_limit"), f"{at}.mem_limit"),
                (least.get("memory"), f"{inside}.reservations.memory"),
                (service.get("mem_reservation"), f"{at}.mem_reservation"),
            )
            if value is not None
        ]
        resources = {
            "cpu": limit if reserved is None else reserved,
            "memory": write_bytes(max(sizes)) if sizes else None,
            "nvidia.com/gpu": self.gpus(least.get("devices"), f"{inside}.reservations.devices"),
        }
        kept = {name: value for name, value in resources.items() if value is not None}
        if not {"cpu", "memory"} <= kept.keys():
            text = "reserves no processor or no memory; add `deploy.resources.reservations: {cpus: '0.25', memory: 128M}`"
            self.notices.append((at, text))
        limits = {"cpu": limit} if limit is not None and reserved is not None else {}
        return {"resources": kept, "limits": limits}

    def size(self, value: object, at: str) -> int:
        """Bytes as compose writes them: `512m`, `1gb`, by 1024."""
        found = _SIZE.fullmatch(str(value)) if isinstance(value, str | int) else None
        if found is None or isinstance(value, bool):
            self.out.add(at, f"{show(value)} is not an amount of bytes such as 512m or 1gb")
            return 0
        unit = (found[2] or "").lower()
        return int(float(found[1]) * 1024 ** _SIZES[unit if unit == "b" else unit.removesuffix("b")])

    def gpus(self, data: object, at: str) -> int | None:
        total = 0
        for i, item in enumerate(self.items(data, at)):
            fields = self.known(
                item if isinstance(item, Mapping) else {},
                f"{at}[{i}]",
                ("driver", "count", "device_ids", "capabilities", "options"),
            )
            if "gpu" not in self.items(fields.get("capabilities"), f"{at}[{i}].capabilities"):
                self.out.add(f"{at}[{i}]", "only GPUs can be reserved: `capabilities: [gpu]` with a `count`")
            total += self.whole(fields.get("count"), f"{at}[{i}].count", 1)
        return total or None


def _dotenv(text: str) -> list[tuple[str, str]]:
    """Lines NAME=value; blank ones and comments apart, quotes taken off."""
    pairs = []
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
        pairs.append((name.strip(), value[1:-1] if quoted else value.split(" #")[0].rstrip()))
    return pairs
