"""docker-compose files as manifests: what is kept, what is said to be left out, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import manifest as m
from protocol.manifest.compose_keys import SERVICE
from protocol.manifest.interpolation import interpolate
from protocol.manifest.problems import Collector
from protocol.units import Resource

GUESTBOOK = """
name: guestbook
x-trusted-pods: {replicas: {min: 0, max: 4, targetPendingRequests: 10}}
x-anything: {of: ours}
services:
  web:
    image: registry.example/guestbook:${TAG:-1.0}
    command: serve --port 8080
    entrypoint: ["/bin/app", "-v"]
    working_dir: /srv
    environment: [MODE=production, "GREETING=hi $$there", HOME_TOWN]
    ports: ["127.0.0.1:8080:8080/tcp", {target: 9000, published: "9001", protocol: tcp, app_protocol: grpc}]
    expose: ["9100"]
    volumes: ["data:/data:ro", {type: tmpfs, target: /cache}, "/scratch"]
    tmpfs: /run
    secrets: [password, {source: key, target: /etc/key.pem}]
    configs: [{source: greeting, target: /etc/greeting}]
    depends_on: [redis]
    restart: unless-stopped
    deploy:
      resources:
        reservations: {cpus: "0.25", memory: 64M, devices: [{driver: nvidia, count: 2, capabilities: [gpu]}]}
        limits: {cpus: "1.5", memory: 128M}
    x-trusted-pods: {host: guestbook.example}
  redis:
    image: docker.io/library/redis:alpine
    environment: {SAVE: "", MAXMEMORY: 50}
    volumes: [{type: volume, source: data, target: /var/lib/redis, read_only: false}]
    cpus: 0.5
    mem_limit: 1.5gb
  tools:
    image: registry.example/tools:1
    profiles: [debug]
volumes:
  data: {x-trusted-pods: {storage: 5Gi}}
  unused: {}
secrets:
  password: {environment: PASSWORD}
  key: {file: ./key.pem}
configs:
  greeting: {content: "hello\\n"}
"""


def composed(text: str, **options: Any) -> m.Composed:
    return m.from_compose(yaml.safe_load(text), **options)


@pytest.fixture(scope="module")
def guestbook() -> m.Composed:
    return composed(GUESTBOOK, environment={"PASSWORD": "hush", "HOME_TOWN": "Fiel"})


def test_a_whole_file_becomes_one_pod(guestbook: m.Composed) -> None:
    web, redis = guestbook.pod.containers
    assert (web.name, web.image.url) == ("web", "registry.example/guestbook:1.0")
    assert (web.entrypoint, web.command) == (("/bin/app", "-v"), ("serve", "--port", "8080"))
    assert web.working_dir == "/srv"
    assert dict(web.env) == {"MODE": "production", "GREETING": "hi $there", "HOME_TOWN": "Fiel"}
    assert dict(redis.env) == {"SAVE": "", "MAXMEMORY": "50"}
    assert [(p.container_port, p.service_port, p.http_host, p.tcp_port) for p in web.ports] == [
        (8080, 8080, "guestbook.example", None),
        (9000, 9000, None, 9001),
        (9100, 9100, None, None),
    ]
    assert guestbook.pod.replicas == m.Replicas(min=0, max=4, target_pending_requests=10)


def test_what_is_reserved_and_what_may_be_used_beyond(guestbook: m.Composed) -> None:
    web, redis = guestbook.pod.containers
    assert dict(web.resources) == {Resource.CPU: 250, Resource.MEMORY: 128 * 2**20, Resource.GPU: 2}
    assert dict(web.limits) == {Resource.CPU: 1500}
    assert dict(redis.resources) == {Resource.CPU: 500, Resource.MEMORY: 3 * 2**29}
    assert redis.limits == ()


def test_volumes_secrets_and_configs_come_along(guestbook: m.Composed) -> None:
    web, redis = guestbook.pod.containers
    volumes = {volume.name: volume for volume in guestbook.pod.volumes}
    places = {mount.path: (volumes[mount.volume], mount.read_only) for mount in web.mounts}
    assert list(places) == [
        "/data",
        "/cache",
        "/scratch",
        "/run",
        "/run/secrets/password",
        "/etc/key.pem",
        "/etc/greeting",
    ]
    assert places["/data"] == (
        m.Volume(name="data", kind=m.VolumeKind.FILESYSTEM, storage_bytes=5 * 2**30),
        True,
    )
    assert [places[p][0].kind for p in ("/cache", "/scratch", "/run")] == [m.VolumeKind.EMPTY] * 3
    held = [places[p][0].secret for p in ("/run/secrets/password", "/etc/key.pem", "/etc/greeting")]
    assert held == [m.Secret(contents=b"hush"), m.Secret(file="./key.pem"), m.Secret(contents=b"hello\n")]
    assert [(mount.volume, mount.path, mount.read_only) for mount in redis.mounts] == [
        ("data", "/var/lib/redis", False)
    ]


def test_what_is_left_out_or_assumed_is_said(guestbook: m.Composed) -> None:
    said = dict(guestbook.notices)
    assert said.keys() == {
        "services.web.depends_on", "services.web.restart", "services.web.ports[0]", "services.tools", "volumes.unused",
    }  # fmt: skip
    assert "always started again" in said["services.web.restart"]
    assert said["services.web.ports[0]"].startswith(
        "8080 is taken for HTTP; if it is not, say `app_protocol: tcp`"
    )


def test_the_manifest_is_the_persons_form_of_the_pod(guestbook: m.Composed) -> None:
    assert m.parse(yaml.safe_load(yaml.safe_dump(guestbook.manifest))) == guestbook.pod
    assert m.parse(m.to_data(guestbook.pod)) == guestbook.pod


def service(**keys: Any) -> dict[str, Any]:
    return {"services": {"a": {"image": "a:1", "cpus": 1, "mem_limit": "1g", **keys}}}


PORTS: list[tuple[dict[str, Any], list[tuple[int, str | None, int | None]]]] = [
    ({"ports": [80]}, [(80, "", None)]),
    ({"ports": ["6379:6379"]}, [(6379, None, 6379)]),
    ({"ports": ["6379"]}, [(6379, None, 0)]),
    ({"ports": ["5000:80"]}, [(80, "", None)]),
    ({"ports": [{"target": 80, "app_protocol": "tcp"}]}, [(80, None, 0)]),
    ({"ports": [{"target": 7000, "app_protocol": "http", "published": 80}]}, [(7000, "", None)]),
    ({"ports": ["80", "7000:7000"], "x-trusted-pods": {"port": 7000}}, [(80, None, 0), (7000, "", None)]),
    ({"x-trusted-pods": {"port": 7000, "host": "x.example"}}, [(7000, "x.example", None)]),
    ({"expose": [80, "81/tcp"], "ports": ["80:80"]}, [(80, "", None), (81, None, None)]),
]


@pytest.mark.parametrize(("keys", "expected"), PORTS)
def test_ports(keys: dict[str, Any], expected: list[tuple[int, str | None, int | None]]) -> None:
    (container,) = m.from_compose(service(**keys)).pod.containers
    assert [(p.container_port, p.http_host, p.tcp_port) for p in container.ports] == expected


def test_what_reserves_nothing_is_said() -> None:
    found = m.from_compose({"services": {"a": {"image": "a:1"}}})
    assert [(place, text.split(";")[0]) for place, text in found.notices] == [
        ("services.a", "reserves no processor or no memory")
    ]


def test_variables_come_from_files_and_are_overridden_by_the_service() -> None:
    files = {"base.env": "# a comment\nexport A=1\nB='two words'\nC=3 # three\n\nnothing\n"}

    def read(path: str) -> str:
        try:
            return files[path]
        except KeyError:
            raise OSError(f"{path}: no such file") from None

    said = service(env_file=["base.env", {"path": "absent.env", "required": False}], environment={"A": "9"})
    (container,) = m.from_compose(said, read=read).pod.containers
    assert dict(container.env) == {"A": "9", "B": "two words", "C": "3"}
    for files_said, place, told in (
        ("absent.env", "services.a.env_file", "absent.env: no such file"),
        (["base.env", "absent.env"], "services.a.env_file[1]", "absent.env: no such file"),
    ):
        assert problems(service(env_file=files_said), read=read) == [(place, told)]
    assert problems(service(env_file="base.env")) == [
        ("services.a.env_file", "'base.env' cannot be read here")
    ]


def problems(data: Any, **options: Any) -> list[tuple[str, str]]:
    with pytest.raises(m.BadManifests) as caught:
        m.from_compose(data, **options)
    return [(problem.path, problem.problem) for problem in caught.value.problems]


WRONG: list[tuple[Any, list[tuple[str, str]]]] = [
    (3, [("", "3 is not a compose file")]),
    ({"service": {}}, [("", "is not a compose file: a mapping with `services`")]),
    ({"services": []}, [("services", "is not a mapping of names"), ]),
    ({"services": {"a": None}}, [("services.a", "is not a service")]),
    ({"services": {"a": {"image": "a:1"}}, "volume": {}}, [("volume", "did you mean 'volumes'?")]),
    (service(imag="b"), [("services.a.imag", "did you mean 'image'?")]),
    ({"services": {"a": {"build": "."}}}, [("services.a.build", "images are not built here: build it, push it")]),
    (service(privileged=True), [("services.a.privileged", "no privileges")]),
    (service(user="root", network_mode="host"), [("services.a.user", "as its image says"), ("services.a.network_mode", "own network")]),
    (service(volumes=["./code:/code"]), [("services.a.volumes[0]", "'./code' is a path of this machine")]),
    (service(volumes=[{"type": "bind", "source": "/etc", "target": "/etc"}]), [("services.a.volumes[0]", "'/etc' is a path")]),
    (service(volumes=["a:/b:c:d"]), [("services.a.volumes[0]", "is not [SOURCE:]PATH[:ro]")]),
    (service(volumes=["a:/b:rx"]), [("services.a.volumes[0]", "is not [SOURCE:]PATH[:ro]")]),
    (service(volumes=["data:/b"]) | {"volumes": {"dat": {}}}, [("services.a.volumes[0]", "no volume 'data'; did you mean 'dat'?")]),
    (service(volumes=["data:/b"]) | {"volumes": {"data": {}}}, [("volumes.data", "how large? add `x-trusted-pods: {storage: 10Gi}`")]),
    (service(volumes=["data:/b"]) | {"volumes": {"data": {"external": True}}}, [("volumes.data", "of another application")]),
    (service(volumes=["data:/b"]) | {"volumes": {"data": {"x-trusted-pods": {"storage": "5Gx"}}}}, [("volumes.data", "5Gx")]),
    (service(ports=["53:53/udp"]), [("services.a.ports[0]", "protocol 'udp' cannot be published")]),
    (service(ports=["3000-3005:3000-3005"]), [("services.a.ports[0]", "is a range; name each port")]),
    (service(ports=["web"]), [("services.a.ports[0]", "web")]),
    (service(**{"x-trusted-pods": {"host": "x.example"}}), [("services.a.x-trusted-pods.host", "0 ports are HTTP")]),
    (service(**{"x-trusted-pods": {"hosts": "x.example"}}), [("services.a.x-trusted-pods.hosts", "did you mean 'host'?")]),
    (service(deploy={"replicas": 3}), [("services.a.deploy.replicas", "one of each service; how many replicas")]),
    (service(scale=2), [("services.a.scale", "one of each service")]),
    (service(mem_limit="1 gallon"), [("services.a.mem_limit", "'1 gallon' is not an amount of bytes")]),
    (service(cpus="two"), [("services.a.resources.cpu", "two")]),
    (service(secrets=["s"]) | {"secrets": {"s": {"external": True}}}, [("secrets.s", "its contents are not here")]),
    (service(secrets=["s"]) | {"secrets": {"s": {"environment": "NOT"}}}, [("secrets.s.environment", "NOT is not set")]),
    (service(secrets=["t"]) | {"secrets": {"s": {"file": "x"}}}, [("services.a.secrets[0]", "no such secret 't'")]),
    (service(deploy={"resources": {"reservations": {"devices": [{"capabilities": ["tpu"]}]}}}),
     [("services.a.deploy.resources.reservations.devices[0]", "only GPUs")]),
    ({"services": {"a": {"image": "a:1", "expose": [80]}, "b": {"image": "b:1", "expose": [80]}}},
     [("services", "two ports listen on 80"), ("services", "two ports are called at 80")]),
    ({"services": {"Web": {"image": "a:1"}}}, [("services.Web.name", "'Web' is not allowed")]),
    (service() | {"x-trusted-pods": {"replicas": {"min": 3, "max": 2}}}, [("x-trusted-pods.replicas", "min (3) is more than max (2)")]),
    (service(command="${GREETING}"), [("services.a.command", "GREETING is not set; ${GREETING:-} allows that")]),
    (service(command=["a", "${X:?say what}"]), [("services.a.command[1]", "X is needed: say what")]),
    (service(environment={"A": "cost: $5"}), [("services.a.environment.A", "write $$ for a dollar")]),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), WRONG)
def test_what_is_wrong_is_named_at_its_place_in_the_compose_file(
    data: Any, expected: list[tuple[str, str]]
) -> None:
    found = problems(data)
    assert [place for place, _ in found] == [place for place, _ in expected], found
    for (_, text), (_, told) in zip(found, expected, strict=True):
        assert told in text


VALUES = [
    ("$A ${A}", "1 1"), ("${B:-x}", "x"), ("${B-x}", ""), ("${C-x}", "x"), ("${A:-x}", "1"), ("${A:+x}", "x"),
    ("${B:+x}", ""), ("${B+x}", "x"), ("${C+x}", ""), ("$$A", "$A"), ("${A?told}", "1"), ("${C:-}", ""), ("a$$", "a$"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_interpolation(text: str, expected: str) -> None:
    out = Collector()
    assert interpolate({"k": [text]}, {"A": "1", "B": ""}, out) == {"k": [expected]}
    assert out.problems == []


KEYS = sorted({
    *SERVICE, "resources", "limits", "memory", "target", "source", "type", "host", "port", "a", "data", "reservations", "devices",
    "count", "capabilities", "replicas", "content", "file", "storage", "app_protocol", "published", "protocol", "required", "path",
})  # fmt: skip
PIECES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 10**6) | st.floats()
    | st.sampled_from(["a:1", "80", "8080:80", "./x:/y", "data:/d", "a", "data", "gpu", "volume", "${A:-1}", "$", "1g", "/x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=400)
@given(
    st.fixed_dictionaries(
        {"services": st.dictionaries(st.sampled_from(["a", "b"]), PIECES, min_size=1)},
        optional={
            **{
                kind: st.dictionaries(st.sampled_from(["a", "data"]), PIECES)
                for kind in ("volumes", "secrets", "configs")
            },
            "x-trusted-pods": PIECES,
        },
    )
)
def test_a_file_of_strangers_is_a_pod_or_problems_and_nothing_worse(data: Any) -> None:
    try:
        found = m.from_compose(data, read=lambda path: "A=1")
    except m.BadManifests:
        return
    assert m.parse(found.manifest) == found.pod
