from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import wire
from protocol.errors import PeerFault
from protocol.wire import pb

ROOT = Path(__file__).parents[2]
VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors/wire.json").read_text())[
    "messages"
]
ADDED_FROM = 100

# The numbers that are fixed, by message: those of the original, and ours that both worlds share.
FIXED = {
    "Pod": {"containers": 1, "volumes": 2, "replicas": 3},
    "Container": {
        "name": 1,
        "image": 2,
        "entrypoint": 3,
        "command": 4,
        "workingDir": 5,
        "ports": 6,
        "env": 7,
        "volumes": 8,
        "resourceRequests": 9,
    },
    "Container.Image": {"cid": 1, "key": 2, "url": 3},
    "Container.Port": {"name": 1, "containerPort": 2, "servicePort": 3, "hostHttpHost": 4, "hostTcpPort": 5},
    "Container.VolumeMount": {"name": 1, "mountPath": 2, "readOnly": 3},
    "Volume": {"name": 1, "type": 2, "accessMode": 3, "filesystem": 4, "secret": 5},
    "Volume.FilesystemConfig": {"resourceRequests": 1},
    "Volume.SecretConfig": {"cid": 1, "key": 2, "file": 101, "contents": 102, "contentsString": 103},
    "Replicas": {"min": 1, "max": 2, "targetPendingRequests": 3},
    "Resource": {"resource": 1, "amount": 2, "amountMillis": 3},
    "Key": {"data": 1},
    "ProvisionPodRequest": {"pod": 1, "payment": 3, "sealed": 4, "offer": 5, "offerSignature": 6},
    "UpdatePodRequest": {"pod": 1},
    "DeletePodRequest": {},
    "DeletePodResponse": {"success": 1, "error": 2},
    "PaymentChannel": {
        "chainID": 1,
        "contractAddress": 2,
        "publisherAddress": 3,
        "providerAddress": 4,
        "podID": 5,
    },
    "ProvisionPodResponse": {"error": 1, "addresses": 2, "namespace": 3},
    "ProvisionPodResponse.ContainerAddress": {"multiaddr": 1, "containerName": 2, "containerPort": 3},
    "PodLogRequest": {"containerName": 1},
    "PodLogResponse": {"logEntry": 1},
    "PodLogResponse.LogEntry": {"NanosecondsUnixEpoch": 1, "log": 2, "stream": 3, "time": 4},
    "PricingTables": {"tables": 1},
    "PricingTables.PricingTable": {"resources": 1, "paymentContractAddress": 2},
    "PricingTables.PricingTable.ResourcePricing": {
        "resource": 1,
        "priceForReservation": 2,
        "priceForUsage": 3,
    },
    "HostInfo": {"multiaddrs": 1, "regions": 2},
    "HostInfo.Region": {"name": 1, "zone": 2, "num": 3},
    "CapacityRequest": {"resources": 1},
    "CapacityResponse": {"availableResources": 1, "pricing": 2, "providerAddress": 3},
    "Envelope": {"request": 1, "signature": 2, "body": 3},
}


def _message(name: str) -> Any:
    found: Any = pb
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", FIXED)
def test_fixed_numbers_are_kept_and_additions_start_at_100(name: str) -> None:
    numbers = {field.name: field.number for field in _message(name).DESCRIPTOR.fields}
    fixed = FIXED[name]
    assert {field: numbers[field] for field in fixed} == fixed
    assert all(number >= ADDED_FROM for field, number in numbers.items() if field not in fixed)


def test_fixed_enums() -> None:
    assert dict(pb.Volume.VolumeType.items()) == {"EMPTY": 0, "FILESYSTEM": 1, "SECRET": 2}
    assert dict(pb.Volume.AccessMode.items()) == {"RW_ONE": 0, "RW_MANY": 1}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["message"]))
def test_vector(vector: dict[str, Any]) -> None:
    """A message written by hand reads as its fields, and its fields are written as the same bytes."""
    kind = _message(vector["message"])
    data = bytes.fromhex(vector["hex"])
    parsed = wire.parse(kind, data)
    assert json_format.MessageToDict(parsed) == vector["fields"]
    assert wire.dump(json_format.ParseDict(vector["fields"], kind())) == data


def test_every_answer_carries_a_refusal() -> None:
    answers = [m for m in pb.DESCRIPTOR.message_types_by_name.values() if m.name.endswith("Response")]
    assert len(answers) == 8
    for message in answers:
        assert message.fields_by_name["refusal"].message_type is pb.Refusal.DESCRIPTOR


def test_protocol_names() -> None:
    names = (
        "attest",
        "provisioning-capacity",
        "provision-pod",
        "pod-status",
        "update-pod",
        "delete-pod",
        "pod-logs",
        "pod-usage",
        "load",
    )
    assert tuple(f"/trusted-pods/{name}/0.0.1" for name in names) == wire.PROTOCOLS
    assert set(wire.PROTOCOLS) > wire.MUTATIONS


def test_generated_files_are_those_of_the_proto(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    plugin = shutil.which("protoc-gen-mypy", path=str(scripts))
    assert plugin is not None, "protoc-gen-mypy is part of the dev requirements"
    command = [
        *(sys.executable, "-m", "grpc_tools.protoc", "-I."),
        *(f"--plugin=protoc-gen-mypy={plugin}", f"--python_out={tmp_path}", f"--mypy_out={tmp_path}"),
        "protocol/wire/trusted_pods.proto",
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for name in ("trusted_pods_pb2.py", "trusted_pods_pb2.pyi"):
        made = (tmp_path / "protocol/wire" / name).read_text()
        assert made == (ROOT / "protocol/wire" / name).read_text(), f"{name} is stale: run `make wire`"


# ---------------------------------------------------------------- framing


def test_a_frame_is_a_varint_and_the_message() -> None:
    assert wire.encode(pb.Envelope(body=b"hi")) == b"\x04\x1a\x02hi"
    long = wire.encode(pb.Envelope(body=bytes(300)))
    assert long[:5] == bytes([0xAF, 0x02, 0x1A, 0xAC, 0x02])  # 303 = 0x2f + 2 * 128
    assert wire.decode(long).body == bytes(300)
    largest = pb.Envelope(body=bytes(wire.MAX_FRAME_BYTES - 5))  # a tag, and a length of four bytes
    assert wire.decode(wire.encode(largest)) == largest


@given(body=st.binary(max_size=400), behind=st.binary(max_size=8))
def test_frames_come_off_a_stream_in_order(body: bytes, behind: bytes) -> None:
    envelope = pb.Envelope(body=body)
    frame = wire.encode(envelope)
    assert wire.decode(frame) == envelope
    assert wire.split(frame + behind) == (wire.dump(envelope), behind)
    assert all(wire.split(frame[:cut]) is None for cut in range(len(frame)))


@contextmanager
def peer_faults(rule: str) -> Iterator[None]:
    """Inside, nothing but a PeerFault of this rule may be raised."""
    try:
        yield
    except PeerFault as fault:
        if fault.rule != rule:
            raise


@given(data=st.binary(max_size=80))
@example(b"\x80\x80\x80\x80\x01")
@example(b"\x80\x00")
@example(b"\x02\x0a\xff")
@example(b"\x00\x00")
@example(b"\x05\x0a\x03\x0a\x01\xff")  # a method that is not UTF-8
def test_any_bytes_are_an_envelope_or_malformed(data: bytes) -> None:
    with peer_faults("MalformedMessage"):
        envelope = wire.decode(data)
        assert wire.parse(pb.Envelope, wire.dump(envelope)) == envelope


@given(data=st.binary(max_size=80), kind=st.sampled_from([pb.Pod, pb.Bundle, pb.Usage, pb.AttestResponse]))
def test_any_bytes_are_a_message_or_malformed(data: bytes, kind: type[pb.Pod | pb.Bundle]) -> None:
    with peer_faults("MalformedMessage"):
        message = wire.parse(kind, data)
        assert wire.parse(kind, wire.dump(message)) == message


def test_deep_nesting_is_malformed() -> None:
    data = b""
    for _ in range(3000):  # groups, unknown to us: each opens one level
        data = b"\x7b" + data + b"\x7c"
    with pytest.raises(PeerFault, match="MalformedMessage"):
        wire.parse(pb.Envelope, data)


@given(size=st.integers(0, 40), limit=st.integers(0, 40))
def test_too_large_if_and_only_if_above_the_limit(size: int, limit: int) -> None:
    envelope = pb.Envelope(body=bytes(size))
    length = len(wire.dump(envelope))
    frame = wire.encode(envelope)
    if length <= limit:
        assert wire.decode(frame, max_bytes=limit) == envelope
        assert wire.encode(envelope, max_bytes=limit) == frame
    else:
        with pytest.raises(PeerFault, match="MalformedMessage"):
            wire.decode(frame, max_bytes=limit)
        with pytest.raises(PeerFault, match="MalformedMessage"):
            wire.split(frame[:1], max_bytes=limit)  # before anything of it is received
        with pytest.raises(ValueError, match="at most"):
            wire.encode(envelope, max_bytes=limit)


@pytest.mark.parametrize("frame", [b"", b"\x01", b"\x80", b"\x00\x00", b"\x80\x00", b"\x82\x00\x1a\x00"])
def test_frames_that_are_cut_or_not_in_shortest_form(frame: bytes) -> None:
    with pytest.raises(PeerFault, match="MalformedMessage"):
        wire.decode(frame)


def test_unknown_fields_are_kept() -> None:
    """A newer peer's fields (15, 2000 and one inside a member) go through us unchanged."""
    known = wire.dump(pb.ProvisionPodRequest(payment=pb.PaymentChannel(chainID=b"\x01"), sealed=b"s"))
    inner = b"\x0a\x01\x01" + b"\x7a\x01n"
    data = b"\x1a" + bytes([len(inner)]) + inner + b"\x22\x01s" + b"\x7a\x03new" + b"\x80\x7d\x07"
    message = wire.parse(pb.ProvisionPodRequest, data)
    assert message.sealed == b"s"
    assert wire.dump(message) == data != known
    envelope = wire.parse(pb.Envelope, wire.dump(pb.Envelope(body=data)) + b"\x7a\x03new")
    assert wire.decode(wire.encode(envelope)) == envelope
    assert wire.encode(envelope).endswith(b"\x7a\x03new")


def test_equal_messages_have_equal_bytes() -> None:
    names = [f"NAME_{i}" for i in range(50)]
    one = pb.Container(env=dict.fromkeys(names, "v"))
    other = pb.Container(env=dict.fromkeys(reversed(names), "v"))
    assert wire.dump(one) == wire.dump(other)
