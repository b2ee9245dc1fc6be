from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from cli.template import write_scenario
from protocol.units import Resource
from sim.scenario import Scenario, ScenarioErrors, load, loads, resolved
from sim.scenario.checks import CHECKS
from sim.scenario.resolve import input_files, to_data
from sim.scenario.yaml_file import parse_value, parse_yaml

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "scenarios").glob("*/scenario.yaml"))
RIGHT = Path(__file__).parent / "wrong" / "right.yaml"
AZURE = ROOT / "scenarios" / "azure-marketplace" / "scenario.yaml"


def problems(text: str) -> list[str]:
    with pytest.raises(ScenarioErrors) as caught:
        loads(text, base=RIGHT.parent)
    return [str(problem) for problem in caught.value.problems]


def test_quantities_are_exact_and_in_base_units() -> None:
    scenario = load(RIGHT)
    provider, publisher = scenario.providers[0], scenario.publishers[0]
    assert scenario.duration_ns == 3600 * 10**9
    assert (provider.nodes[0].cpu_millis, provider.nodes[0].memory_bytes) == (4000, 8 * 2**30)
    assert (provider.prices.cpu, provider.prices.memory) == (25 * 10**11, 310)
    assert publisher.traffic.poisson is not None
    assert publisher.traffic.poisson.rate_per_s == Fraction(9, 10)
    assert publisher.wallet.payment_base == 10 * 10**18
    assert scenario.chain.gas_price == 5 * 10**7


def test_members_are_named_after_their_group() -> None:
    scenario = load(RIGHT)
    assert [member.name for member in scenario.provider_members()] == ["budget-0", "budget-1"]
    assert [member.name for member in scenario.publisher_members()] == ["careful-0", "careful-1", "careful-2"]


@pytest.mark.parametrize("path", [*SHIPPED, RIGHT], ids=lambda path: path.parent.name)
def test_resolved_is_complete_and_loads_to_the_same(path: Path, tmp_path: Path) -> None:
    scenario = load(path)
    copy = tmp_path / "elsewhere" / "scenario.yaml"
    copy.parent.mkdir()
    copy.write_text(resolved(scenario), encoding="utf-8")
    again = load(copy)
    assert again == scenario
    assert resolved(again) == copy.read_text(encoding="utf-8")

    def full(data: object, model: type) -> None:
        assert isinstance(data, dict)
        assert set(data) == {field.alias or name for name, field in model.model_fields.items()}  # type: ignore[attr-defined]

    data = to_data(scenario)
    full(data, Scenario)
    full(data["providers"][0]["terms"], type(scenario.providers[0].terms))
    full(data["publishers"][0], type(scenario.publishers[0]))


def test_what_new_writes_is_sound_and_says_what_the_schema_says(tmp_path: Path) -> None:
    scenario = load(write_scenario(tmp_path / "first"))
    assert scenario.name == "first"
    assert loads(resolved(scenario)) == scenario


def test_the_main_scenario_covers_the_trace() -> None:
    scenario = load(AZURE)
    rows = [member.trace_row for member in scenario.publisher_members()]
    assert rows == list(range(500))
    assert len(scenario.provider_members()) == 40
    busiest = scenario.publisher_members()[287].group  # 1,915,521 of 3,037,902 requests
    assert busiest.policies.funding.use == "runway"


def test_the_files_a_run_reads_are_known() -> None:
    names = [path.name for path in input_files(load(AZURE))]
    assert names == ["durations.csv", "invocations.csv", "memory.csv"]
    assert input_files(load(RIGHT)) == []


def test_a_tokens_decimals_are_those_of_the_file() -> None:
    text = (
        RIGHT.read_text(encoding="utf-8").replace("0.009 DAI", "3.6 USDC").replace("0.0012 DAI", "1e8 USDC")
    )
    scenario = loads(
        "tokens: {payment: {symbol: USDC, decimals: 6}}\n" + text.replace("name: careful", "name: careful\n    wallet: {payment: 1e9 USDC}"),
        base=RIGHT.parent,
    )  # fmt: skip
    assert scenario.providers[0].prices.cpu == 1000
    assert scenario.publishers[0].wallet.payment_base == 10**15
    assert scenario.providers[0].wallet.payment_base == 0
    assert "0 USDC" in resolved(scenario)
    assert loads(resolved(scenario)) == scenario


# --- overrides ---


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("providers.0.count=5", 5),
        ("providers.budget.count=5", 5),
        ("providers.budget.count=0x5", None),
        ("network.loss=5%", None),
        ("chain.block_time=12s", None),
        ("publishers.careful.policies.funding.with.first=5h", None),
        ("publishers.careful.scaling={policy: kpa, target_pending_requests: 9}", None),
    ],
)
def test_an_override_is_as_if_the_file_said_so(override: str, value: int | None) -> None:
    if "0x" in override:
        with pytest.raises(ScenarioErrors, match="'0x5' is not a whole number"):
            load(RIGHT, [override])
        return
    scenario = load(RIGHT, [override])
    assert scenario != load(RIGHT)
    if value is not None:
        assert scenario.providers[0].count == value
    assert loads(resolved(scenario)) == scenario


def test_later_overrides_win_and_go_into_what_the_file_leaves_out() -> None:
    scenario = load(RIGHT, ["network.latency.lognormal.mean=1ms", "seed=3", "seed=4"])
    assert scenario.seed == 4
    latency = scenario.network.latency.lognormal
    assert latency is not None and (latency.mean_ns, latency.cv) == (10**6, Fraction(1, 2))


def test_an_override_can_mend_a_file(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    text = RIGHT.read_text(encoding="utf-8").replace("files/", f"{RIGHT.parent}/files/")
    bad.write_text(text.replace("count: 3", "count: -3"), encoding="utf-8")
    assert load(bad, ["publishers.careful.count=3"]) == load(RIGHT)


# --- reading YAML ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e9", 1e9), ("on", "on"), ("no", "no"), ("12:30", "12:30"), ("2019-07-15", "2019-07-15"), ("0o17", "0o17"),
        ("017", 17), ("true", True), ("null", None), ("~", None), ("", None), ("'3'", "3"), (".5", 0.5), ("1_000", "1_000"),
        ("0.1234567890123456789", "0.1234567890123456789"), ("[1, a]", [1, "a"]), ("1e999", "1e999"), ("-.inf", "-.inf"),
    ],
)  # fmt: skip
def test_scalars_read_as_they_look(text: str, value: object) -> None:
    got = parse_value(text)
    assert got == value and type(got) is type(value)


def test_characters_that_json_writes_as_two_halves_are_whole() -> None:
    assert parse_value(r'"\ud83d\ude00"') == "\N{GRINNING FACE}"
    with pytest.raises(ScenarioErrors, match="half a character"):
        parse_value(r'"\ud83d"')


def test_lines_are_known() -> None:
    document = parse_yaml("a: 1\nb:\n  - c: 2\n    d:\n      e: 3\n", "f")
    assert [
        document.line(path) for path in [("a",), ("b", 0, "c"), ("b", 0, "d", "e"), ("b", 0, "nothing")]
    ] == [1, 3, 5, 3]


def test_a_few_lines_cannot_ask_for_billions() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    with pytest.raises(ScenarioErrors, match="stands for more than"):
        parse_yaml("\n".join(lines), "f")


def test_a_document_that_holds_itself_is_refused() -> None:
    with pytest.raises(ScenarioErrors, match=r"nested deeper|stands for more"):
        parse_yaml("a: &a [*a]", "f")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ScenarioErrors, match="not UTF-8"):
        load(path)
    with pytest.raises(ScenarioErrors, match="a folder, not a file"):
        load(tmp_path)


def test_an_unreadable_value_never_crashes() -> None:
    for text in (
        "providers: 3",
        "providers: [3]",
        "publishers: {a: 1}",
        "tokens: 3",
        "faults: {}",
        "sweep: [1]",
        "network: []",
    ):
        assert problems(f"name: x\n{text}\n")


def test_every_check_says_what_it_checks() -> None:
    assert all(check.__doc__ and check.__doc__.endswith(".") for check in CHECKS)


def test_the_largest_memory_of_a_group_has_to_fit() -> None:
    text = RIGHT.read_text(encoding="utf-8").replace(
        "    traffic: {poisson: 0.9/s}\n    service: {exponential: 2s}\n",
        "    traffic: {trace: {files: files/trace, rows: '0:3'}}\n    service: trace\n    memory: trace\n",
    )
    fitting = loads(
        text.replace("memory: 8Gi", "memory: 120MB"), base=RIGHT.parent
    )  # the trace's most is 120 MB
    assert fitting.providers[0].nodes[0].memory_bytes == 120 * 10**6
    assert "memory 120MB" in problems(text.replace("memory: 8Gi", "memory: 119MB"))[0]
    assert dict(fitting.publishers[0].manifest.containers[0].resources)[Resource.MEMORY] == 128 * 2**20


def test_a_docker_compose_file_is_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web:\n    image: shop:${TAG:-1}\n    ports: ['8080:8080']\n    cpus: 0.25\n    mem_limit: 256m\n"
    )
    text = RIGHT.read_text(encoding="utf-8").replace("files/web.yaml", "compose.yaml")
    (container,) = loads(text, base=tmp_path).publishers[0].manifest.containers
    assert (container.image.url, dict(container.resources)[Resource.CPU]) == ("shop:1", 250)
    (tmp_path / "compose.yaml").write_text("services:\n  web:\n    image: shop:1\n    build: .\n")
    with pytest.raises(
        ScenarioErrors, match=r"compose\.yaml:4: services\.web\.build: a pod cannot have this"
    ):
        loads(text, base=tmp_path)


# --- everything at once ---


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        # what another error causes is not said: the fault's provider is there, under a name that is wrong
        ([("name: budget", "name: Budget"), ("duration: 1h", "duration: 1h\nfaults: [{kind: provider_crash, provider: budget-7, at: 1m, for: 1m}]")], ["providers.0.name"]),
        # one group's error keeps no other from being checked
        ([("count: 3", "count: 3\n    first_service: {empirical: nowhere.csv}"), ("count: 2\n", "count: 2\n    cold_start: {application: -1s}\n")], ["providers.0.cold_start.application", "publishers.0.first_service.empirical"]),
        # a group that is no mapping at all
        ([("publishers:\n", "publishers:\n  - 3\n"), ("poisson: 0.9/s", "replay: nowhere.csv")], ["publishers.0", "publishers.1.traffic.replay"]),
        # keys that are right alone and wrong together
        ([("{policy: keda, target_pending_requests: 2}", "{policy: keda, min_replicas: 3, max_replicas: 2}"), ("poisson: 0.9/s", "replay: nowhere.csv")], ["publishers.0.scaling", "publishers.0.traffic.replay"]),
        # no room is asked for by a manifest that cannot be read, and no price is missed that is mistyped
        ([("files/web.yaml", "files/none.yaml"), ("cpu: 0.009", "cpuu: 0.009")], ["providers.0.prices.cpuu", "publishers.0.manifest"]),
        ([("duration: 1h", "duration: -1h\nsweep: {seed: [1, -2], sed: [1]}\noutput: {sampling: 2h}")], ["duration", "sweep.seed.1", "sweep.sed"]),
        ([("duration: 1h", "duration: 1h\ntokens: {payment: {decimals: 99}}"), ("count: 3", "count: 3\n    policies: {funding: runwy}")], ["tokens.payment.decimals"]),
    ],
)  # fmt: skip
def test_what_stands_is_checked_beside_what_does_not(
    changes: list[tuple[str, str]], paths: list[str]
) -> None:
    text = RIGHT.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    with pytest.raises(ScenarioErrors) as caught:
        loads(text, base=RIGHT.parent)
    assert [problem.path for problem in caught.value.problems] == paths, str(caught.value)


def test_cross_checks_wait_for_an_override_that_cannot_be_put() -> None:
    text = RIGHT.read_text(encoding="utf-8") + "faults: [{kind: provider_crash, provider: budget-2, at: 1m, for: 1m}]\n"  # fmt: skip
    with pytest.raises(ScenarioErrors) as caught:
        loads(text, base=RIGHT.parent, overrides=["providers.budget.cuont=3"])
    assert len(caught.value.problems) == 1
    assert "did you mean 'count'" in str(caught.value)
