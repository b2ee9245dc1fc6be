from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import manifest as m
from protocol.errors import BadManifest
from protocol.units import Resource
from protocol.wire import trusted_pods_pb2 as pb

PERSON: dict[str, Any] = {
    "containers": [
        {
            "image": "docker.io/library/nginx:1.27",
            "port": 80,
            "host": "example.com",
            "ports": ["123:321", 9090],
            "resources": {"cpu": "1000m", "memory": "1Gi", "nvidia.com/gpu": 1},
            "limits": {"cpu": 2.5},
            "env": ["A=1", "B=x=y"],
            "volumes": [
                {"mountPath": "/data", "storage": "10Gi"},
                {"mountPath": "/key", "secret": "hush", "readOnly": True},
                {"name": "scratch", "mountPath": "/tmp"},
            ],
        }
    ],
    "volumes": [{"name": "scratch"}],
    "replicas": {"min": 1, "max": 3, "targetPendingRequests": 7},
}
PROTOJSON: dict[str, Any] = {
    "containers": [
        {
            "name": "nginx",
            "image": {"url": "docker.io/library/nginx:1.27"},
            "ports": [
                {"containerPort": "80", "servicePort": 80, "hostHttpHost": "example.com"},
                {"containerPort": "321", "servicePort": "123", "hostTcpPort": "123"},
                {"container_port": 9090},
            ],
            "resourceRequests": [
                {"amountMillis": "1000", "resource": "cpu"},
                {"amount": "1073741824", "resource": "ram"},
                {"amount": 1, "resource": "gpu"},
            ],
            "resourceLimits": [{"amountMillis": "2500", "resource": "cpu"}],
            "env": {"B": "x=y", "A": "1"},
            "volumes": [
                {"name": "nginx-0", "mountPath": "/data"},
                {"name": "nginx-1", "mountPath": "/key", "readOnly": True},
                {"name": "scratch", "mountPath": "/tmp"},
            ],
        }
    ],
    "volumes": [
        {"name": "scratch", "type": "EMPTY"},
        {
            "name": "nginx-0",
            "type": "FILESYSTEM",
            "filesystem": {"resourceRequests": [{"resource": "storage", "amount": str(10 * 2**30)}]},
        },
        {"name": "nginx-1", "type": 2, "secret": {"contents": "aHVzaA=="}},
    ],
    "replicas": {"min": "1", "max": "3", "targetPendingRequests": "7"},
}


def test_the_persons_form_and_protojson_are_one_pod() -> None:
    assert m.parse(PERSON) == m.parse(PROTOJSON)


def test_the_example_of_the_original_reads() -> None:
    pod = m.parse(
        {
            "containers": [
                {
                    "name": "redis",
                    "image": {"url": "docker.io/library/redis:alpine"},
                    "resourceRequests": [{"amountMillis": "10", "resource": "cpu"}],
                }
            ]
        }
    )
    assert m.pod_resources(pod) == {Resource.CPU: 10}
    assert pod.replicas == m.Replicas(min=0, max=100, target_pending_requests=100)
    assert not pod.http and pod.least_replicas == 1  # nothing could wake it


def test_resources_are_per_replica_and_storage_is_the_pods() -> None:
    two = {
        "containers": [PERSON["containers"][0], {"image": "side:1", "resources": {"cpu": 0.25, "ram": "1e6"}}]
    }
    pod = m.parse({**PERSON, **two})
    assert m.pod_resources(pod) == {Resource.CPU: 1250, Resource.MEMORY: 2**30 + 10**6, Resource.GPU: 1}
    assert m.volume_resources(pod) == {Resource.STORAGE: 10 * 2**30}
    assert m.pod_resources(pod.with_replica_memory(5))[Resource.MEMORY] == 5
    assert m.cpu_limit_millis(pod) == 2500 + 250  # who names no limit stops at what it reserves


def test_port_forms() -> None:
    pod = m.parse(PERSON)
    assert [(p.container_port, p.service_port, p.http_host, p.tcp_port) for p in pod.containers[0].ports] == [
        (80, 80, "example.com", None),
        (321, 123, None, 123),
        (9090, 9090, None, None),
    ]
    plain = m.parse({"containers": [{"image": "a:1", "port": 80}]})
    assert plain.containers[0].ports[0].http_host == "" and plain.http and plain.hosts == ()


@pytest.mark.parametrize("data", [PERSON, PROTOJSON])
def test_there_and_back(data: dict[str, Any]) -> None:
    pod = m.parse(data)
    assert m.parse(m.to_data(pod)) == pod
    assert m.parse(json.loads(m.canonical(pod))) == pod
    wire = pb.Pod.FromString(m.to_wire(pod).SerializeToString())
    assert m.from_wire(wire) == pod


def test_canonical_bytes_do_not_depend_on_the_form() -> None:
    assert m.canonical(m.parse(PERSON)) == m.canonical(m.parse(PROTOJSON))
    assert m.canonical(m.parse({**PERSON, "replicas": {"max": 4}})) != m.canonical(m.parse(PERSON))


def test_canonical_bytes_are_for_ever() -> None:
    """Hashes of manifests are kept and signed: another text of the same pod would be another pod."""
    assert m.canonical(m.parse({"containers": [{"image": "a:1"}]})) == (
        b'{"containers":[{"image":{"url":"a:1"},"name":"a"}],'
        b'"replicas":{"max":100,"min":0,"targetPendingRequests":100}}'
    )


def test_the_wires_zeros_are_defaults_and_its_ram_is_memory() -> None:
    message = pb.Pod(
        containers=[
            pb.Container(
                name="a",
                image=pb.Container.Image(url="a:1"),
                resourceRequests=[pb.Resource(resource="ram", amount=5)],
                ports=[pb.Container.Port(containerPort=80, hostHttpHost="")],
            )
        ]
    )
    pod = m.from_wire(message)
    assert pod.replicas == m.Replicas()
    assert m.pod_resources(pod) == {Resource.MEMORY: 5}
    assert pod.http and pod.containers[0].ports[0].service_port == 80


WRONG: list[tuple[Any, list[tuple[str, str]]]] = [
    (3, [("", "3 is not a manifest")]),
    ({"containers": []}, [("containers", "at least one")]),
    ({"containers": [{"image": "a:1"}], "container": 1}, [("container", "did you mean 'containers'?")]),
    ({"containers": [{}]}, [("containers[0].image", "an image is needed")]),
    ({"containers": [{"image": "a:1", "port": 0}]}, [("containers[0].ports[0].containerPort", "0 is not a port"), ("containers[0].ports[0].servicePort", "0 is not a port")]),
    ({"containers": [{"image": "a:1", "port": 70000}]}, [("containers[0].port", "70000 is not a whole number")]),
    ({"containers": [{"image": "a:1", "host": "x"}]}, [("containers[0].host", "needs the port")]),
    ({"containers": [{"image": "a:1", "port": 1, "host": "UPPER"}]}, [("containers[0].ports[0].hostHttpHost", "is not a host")]),
    ({"containers": [{"image": "a:1", "ports": ["80:x"]}]}, [("containers[0].ports[0]", "'x' is not a whole")]),
    ({"containers": [{"image": "a:1", "ports": [80, 80]}]}, [("containers", "two ports listen on 80"), ("containers", "two ports are called at 80")]),
    ({"containers": [{"image": "a:1"}, {"image": "a:2"}]}, [("containers", "two containers are called 'a'")]),
    ({"containers": [{"image": "a:1", "resources": {"cpu": "-1"}}]}, [("containers[0].resources.cpu", "negative")]),
    ({"containers": [{"image": "a:1", "resources": {"cpu": 1, "cpus": 1}}]}, [("containers[0].resources.cpus", "did you mean 'cpu'?")]),
    ({"containers": [{"image": "a:1", "resources": {"ram": 1, "memory": 1}}]}, [("containers[0].resources.memory", "given twice")]),
    ({"containers": [{"image": "a:1", "resourceRequests": [{"resource": "memory", "amountMillis": 1}]}]}, [("containers[0].resourceRequests[0]", "not a whole number")]),
    ({"containers": [{"image": "a:1", "resourceRequests": [{"resource": "cpu"}]}]}, [("containers[0].resourceRequests[0]", "exactly one")]),
    ({"containers": [{"image": "a:1", "resources": {"cpu": 1}, "limits": {"cpu": "999m"}}]}, [("containers[0].limits.cpu", "999m is less than the 1000m that `resources` reserves")]),
    ({"containers": [{"image": "a:1", "limits": {"cpu": 1}}]}, [("containers[0].limits.cpu", "1000m without a request above 0: add `cpu` to")]),
    ({"containers": [{"image": "a:1", "resources": {"cpu": 1}, "limits": {"cpu": 1e6}}, {"image": "b:1", "resources": {"cpu": 1}, "limits": {"cpu": 1e7}}]}, [("containers[1].limits.cpu", "10000000000m is more than any node has")]),
    ({"containers": [{"image": "a:1", "resources": {"cpu": 1}, "limits": {"cpu": 0}}]}, [("containers[0].limits.cpu", "0 is not allowed")]),
    ({"containers": [{"image": "a:1", "resources": {"cpu": 1}, "limits": {"memory": "1Gi"}}]}, [("containers[0].limits.memory", "only cpu has a limit")]),
    ({"containers": [{"image": "a:1", "resourceLimits": [{"resource": "cpu"}]}]}, [("containers[0].resourceLimits[0]", "exactly one")]),
    ({"containers": [{"image": "a:1", "limits": 3}]}, [("containers[0].limits", "is not a mapping")]),
    ({"containers": [{"image": "a:1", "env": ["A", {"name": "B", "value": None}]}]}, [("containers[0].env[0]", "not NAME=value"), ("containers[0].env[1].value", "nothing (null)")]),
    ({"containers": [{"image": "a:1", "env": ["A=1", "A=2"]}]}, [("containers[0].env", "'A' is set twice")]),
    ({"containers": [{"image": "a:1", "volumes": [{"name": "d", "mountPath": "/d"}]}], "volumes": [{"name": "e"}]}, [("containers[0].volumes[0].name", "no volume 'd'"), ("volumes[0].name", "no container mounts")]),
    ({"containers": [{"image": "a:1", "volumes": [{"mountPath": "/d", "storage": "1Gi", "secret": "x"}]}]}, [("containers[0].volumes[0]", "storage and secret")]),
    ({"containers": [{"image": "a:1", "volumes": [{"mountPath": "/d", "storage": 0}]}]}, [("volumes[0]", "above 0")]),
    ({"containers": [{"image": {"cid": "*"}}]}, [("containers[0].image.cid", "not base64")]),
    ({"containers": [{"image": "a:1", "command": "'"}]}, [("containers[0].command", "cannot be split")]),
    ({"containers": [{"image": "a:1"}], "replicas": {"min": 3, "max": 2}}, [("replicas", "min (3) is more than max (2)")]),
    ({"containers": [{"image": "a:1"}], "replicas": {"max": 0}}, [("replicas.max", "0 is not allowed")]),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), WRONG)
def test_what_is_wrong_is_named(data: Any, expected: list[tuple[str, str]]) -> None:
    with pytest.raises(BadManifest) as caught:
        m.parse(data)
    assert isinstance(caught.value, m.BadManifests)
    found = [(problem.path, problem.problem) for problem in caught.value.problems]
    assert len(found) == len(expected)
    for (path, text), (want_path, want_text) in zip(found, expected, strict=True):
        assert path == want_path and want_text in text


def test_everything_wrong_is_reported_at_once() -> None:
    with pytest.raises(m.BadManifests) as caught:
        m.parse({"containers": [{"imag": "a:1", "port": "x"}], "replica": {}, "volumes": [{"name": "Bad"}]})
    paths = {problem.path for problem in caught.value.problems}
    assert paths >= {"replica", "containers[0].imag", "containers[0].port", "volumes[0].name"}


def secret_of(size: int) -> dict[str, Any]:
    return {"containers": [{"image": "a:1", "volumes": [{"mountPath": "/s", "secret": "x" * size}]}]}


def test_a_secret_may_have_a_mebibyte_and_no_more() -> None:
    m.parse(secret_of(m.SECRET_BYTES_MAX))
    with pytest.raises(BadManifest, match="at most 1048576"):
        m.parse(secret_of(m.SECRET_BYTES_MAX + 1))


def test_a_manifest_may_have_256_kib_and_no_more() -> None:
    def of(size: int) -> dict[str, Any]:
        return {"containers": [{"image": "a:1", "env": {"A": "x" * size}}]}

    overhead = len(m.canonical(m.parse(of(0))))
    m.parse(of(m.MANIFEST_BYTES_MAX - overhead))
    with pytest.raises(BadManifest, match="at most 262144"):
        m.parse(of(m.MANIFEST_BYTES_MAX - overhead + 1))
    with pytest.raises(BadManifest, match="at most 262144"):
        m.from_wire(pb.Pod(containers=[pb.Container(name="a", env={"A": "x" * m.MANIFEST_BYTES_MAX})]))


def test_an_unknown_resource_on_the_wire_is_refused() -> None:
    container = pb.Container(name="a", resourceRequests=[pb.Resource(resource="amd.com/gpu", amount=1)])
    with pytest.raises(BadManifest, match=r"unknown resource 'amd\.com/gpu'"):
        m.from_wire(pb.Pod(containers=[container]))


# --- properties ---

labels = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


@st.composite
def pods(draw: st.DrawFn) -> m.Pod:
    """Pods that are consistent, with every kind of part."""
    kinds = draw(st.lists(st.sampled_from(m.VolumeKind), max_size=3))
    volumes = tuple(
        m.Volume(
            name=f"v{i}",
            kind=kind,
            access=draw(st.sampled_from(m.AccessMode)),
            storage_bytes=draw(st.integers(1, 2**50)) if kind is m.VolumeKind.FILESYSTEM else 0,
            secret=draw(secrets) if kind is m.VolumeKind.SECRET else None,
        )
        for i, kind in enumerate(kinds)
    )
    names = draw(st.lists(labels, min_size=1, max_size=3, unique=True))
    numbers = iter(draw(st.lists(st.integers(1, 65535), min_size=12, max_size=12, unique=True)))
    containers = tuple(
        m.Container(
            name=name,
            image=m.Image(url=f"{name}:1", cid=draw(st.binary(max_size=4)), key=draw(st.binary(max_size=4))),
            entrypoint=tuple(draw(st.lists(texts, max_size=2))),
            command=tuple(draw(st.lists(texts, max_size=2))),
            working_dir=draw(texts),
            ports=tuple(draw(ports(next(numbers), next(numbers))) for _ in range(draw(st.integers(0, 2)))),
            env=tuple(sorted(draw(st.dictionaries(labels, texts, max_size=2)).items())),
            mounts=tuple(
                m.Mount(volume=v.name, path=f"/{v.name}", read_only=draw(st.booleans())) for v in volumes
            ),
            resources=(resources := draw(amounts)),
            limits=draw(limits(resources)),
        )
        for name in names
    )
    least = draw(st.integers(0, 5))
    replicas = m.Replicas(
        min=least, max=draw(st.integers(max(1, least), 9)), target_pending_requests=draw(st.integers(1, 9))
    )
    return m.Pod(containers=containers, volumes=volumes, replicas=replicas)


secrets = st.one_of(
    st.builds(m.Secret, contents=st.binary(max_size=4)),
    st.builds(m.Secret, file=labels),
    st.builds(m.Secret, cid=st.binary(min_size=1, max_size=4), key=st.binary(max_size=4)),
)


amounts = st.dictionaries(st.sampled_from(Resource), st.integers(1, 5000) | st.integers(1, 2**52)).map(
    m.model.ordered
)


def limits(resources: m.model.Amounts) -> st.SearchStrategy[m.model.Amounts]:
    reserved = dict(resources).get(Resource.CPU)
    if reserved is None or reserved > m.model.CPU_LIMIT_MAX_MILLIS:
        return st.just(())
    return st.just(()) | st.integers(reserved, m.model.CPU_LIMIT_MAX_MILLIS).map(
        lambda most: ((Resource.CPU, most),)
    )


def ports(container: int, service: int) -> st.SearchStrategy[m.Port]:
    shape = st.sampled_from([(None, None), ("", None), (None, 0), (None, 7)])
    return shape.map(
        lambda said: m.Port(
            container_port=container, service_port=service, http_host=said[0], tcp_port=said[1]
        )
    )


@given(pods())
def test_every_pod_survives_protojson_and_the_wire(pod: m.Pod) -> None:
    assert m.check(pod) is pod
    assert m.parse(json.loads(json.dumps(m.to_data(pod)))) == pod
    assert m.from_wire(pb.Pod.FromString(m.to_wire(pod).SerializeToString())) == pod


json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70000) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["containers", "volumes", "replicas", "image", "name", "port", "ports", "env", "resources", "min", "max",
             "secret", "storage", "mountPath", "cid", "host", "cpu", "filesystem", "resourceRequests", "amount", "limits"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_like)
def test_whatever_is_read_is_a_pod_or_a_bad_manifest(data: Any) -> None:
    try:
        pod = m.parse(data)
    except BadManifest:
        pass
    else:
        assert m.parse(m.to_data(pod)) == pod
