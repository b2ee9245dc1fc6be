"""A scenario in words: what it is about, what is assumed because the file does not say it, and what is off.

The lists come from the tree of models, which knows which keys a file gave, what each means and what stands there
otherwise. So a key that is added to the tree is in them without anybody's doing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from sim.chain.port import READ_NS
from sim.cluster import API_NS
from sim.explain.phrases import span_text
from sim.runner import NOT_MODELLED
from sim.scenario.resolve import to_data
from sim.world import SET_UP_MARGIN_NS

if TYPE_CHECKING:
    from sim.scenario import Provider, Publisher, Scenario

Data = Mapping[str, Any]
NOTHING: Final = ("never", "not", "no ", "nobody", "none", "gas is not", "every block stands")
"""How the meaning of null begins, where null turns a thing off instead of leaving it to something else."""
ZERO: Final = re.compile(r"0(\.0+)?( ?[A-Za-z%].*)?")
LONG: Final = re.compile(r"\d+\.\d{7,}")
FAULTS: Final = {
    "provider_crash": "the client of {provider} stops",
    "publisher_crash": "the client of {publisher} stops",
    "node_crash": "node {node} of {provider} goes down",
    "rpc_silence": "the chain endpoint of {party} answers nothing",
    "rpc_lie": "the chain endpoint of {party} lies ({lie})",
    "partition": "{regions} cannot reach each other",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key that the file does not give, or that turns a thing off.

    Attributes:
        path: as `--set` writes it; `*` stands for every group for which it is the same.
        value: what is in force.
        about: what the key means.
    """

    path: str
    value: str
    about: str

    def __str__(self) -> str:
        return f"{self.path} = {self.value}: {self.about}"


@dataclass(frozen=True, slots=True)
class Account:
    """A scenario, explained.

    Attributes:
        words: what it is about, a paragraph each.
        assumed: keys that the file leaves to their default.
        always: what is so in every run of this simulator.
        off: features that are not in use, given as such or left so.
    """

    words: tuple[str, ...]
    assumed: tuple[Key, ...]
    always: tuple[str, ...]
    off: tuple[Key, ...]

    def to_data(self) -> dict[str, Any]:
        """As JSON holds it."""

        def keys(found: tuple[Key, ...]) -> list[dict[str, str]]:
            return [{"key": k.path, "value": k.value, "about": k.about} for k in found]

        return {
            "words": list(self.words),
            "assumed": keys(self.assumed),
            "always": list(self.always),
            "off": keys(self.off),
        }


def account_of(scenario: Scenario) -> Account:
    """What a scenario says, assumes and leaves out."""
    data = to_data(scenario)
    assumed: dict[Key, list[str]] = {}
    off: dict[Key, list[str]] = {}
    for path, value, about, given, is_off in _keys(scenario, data, ""):
        group, rest = _split(path, data)
        key = Key(rest, value, about)
        if is_off:
            off.setdefault(key, []).append(group)
        elif not given:
            assumed.setdefault(key, []).append(group)
    return Account(
        tuple(_words(scenario, data)), _merged(assumed, scenario), tuple(_always()), _merged(off, scenario)
    )


# ---------------------------------------------------------------- keys


def _keys(model: BaseModel, data: Any, path: str) -> Iterator[tuple[str, str, str, bool, bool]]:
    """Every key in force: its path, value, meaning, whether the file gives it, and whether it turns a thing off."""
    for name, field in type(model).model_fields.items():
        word = field.alias or name
        if word not in data:  # one of several kinds, of which another is there
            continue
        value, held = data[word], getattr(model, name)
        here, given = f"{path}{word}", name in model.model_fields_set
        below = [(f"{here}.", held, value)] if isinstance(held, BaseModel) else []
        if isinstance(held, tuple) and held and all(isinstance(one, BaseModel) for one in held):
            below = [
                (f"{here}.{getattr(one, 'name', place)}.", one, value[place])
                for place, one in enumerate(held)
            ]
        if below and all(_looked_into(one) for _, one, _ in below):
            for prefix, one, inner in below:
                yield from _keys(one, inner, prefix)
        elif not field.is_required():
            about = str(field.description or "")
            yield here, _text(value), about.rstrip("."), given, _is_off(value, about)


def _looked_into(model: BaseModel) -> bool:
    """A law, a policy, an amount of traffic is one thing, to be told as a whole."""
    from sim.scenario.laws import OneOf
    from sim.scenario.supply import PolicySpec

    return not isinstance(model, (OneOf, PolicySpec))


def _is_off(value: Any, about: str) -> bool:
    if value is None:
        meaning = about.partition("null:")[2].strip()
        return not meaning or meaning.startswith(NOTHING)
    if value == "none" or value is False or value in ([], {}):
        return True
    return (type(value) in (int, float) and value == 0) or (
        isinstance(value, str) and bool(ZERO.fullmatch(value))
    )


def _text(value: Any) -> str:
    if isinstance(value, dict):
        if set(value) == {"use", "with"}:
            settings = ", ".join(
                f"{k} {_text(v)}" for k, v in value["with"].items() if v not in (None, [], {})
            )
            return f"{value['use']}{f' ({settings})' if settings else ''}"
        if set(value) == {"constant"}:
            return f"always {value['constant']}"
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "nothing" if value in (None, "") else LONG.sub(lambda found: f"{float(found[0]):.6g}", str(value))


def _split(path: str, data: Data) -> tuple[str, str]:
    """A key of a group apart from the group's name, so that groups can be told together."""
    parts = path.split(".")
    if parts[0] in ("providers", "publishers") and len(parts) > 2:
        return parts[1], ".".join([parts[0], "*", *parts[2:]])
    return "", path


def _merged(found: Mapping[Key, list[str]], scenario: Scenario) -> tuple[Key, ...]:
    counts = {"providers": len(scenario.providers), "publishers": len(scenario.publishers)}
    merged = []
    for key, groups in found.items():
        top, _, _ = key.path.partition(".")
        if "*" not in key.path or len(set(groups)) == counts[top]:
            merged.append(key)
        else:
            named = "{" + ",".join(dict.fromkeys(groups)) + "}" if len(groups) > 1 else groups[0]
            merged.append(Key(key.path.replace("*", named, 1), key.value, key.about))
    return tuple(merged)


def _always() -> Iterator[str]:
    yield "Not modelled: " + " ".join(NOT_MODELLED)
    yield f"A read of the chain takes {span_text(READ_NS)}, a write to a cluster's API {span_text(API_NS)}."
    yield (
        f"The world begins {span_text(SET_UP_MARGIN_NS)} and a few blocks before the scenario, so that providers are "
        "listed when the first publishers come."
    )
    yield "Every draw follows from the seed and belongs to a thing: changing one policy moves nobody else's draws."


# ---------------------------------------------------------------- words


def _words(scenario: Scenario, data: Data) -> Iterator[str]:
    providers = sum(group.count for group in scenario.providers)
    publishers = sum(group.count for group in scenario.publishers)
    about = f" {scenario.about.strip()}" if scenario.about.strip() else ""
    yield f"{scenario.name}:{about}" if about else scenario.name
    many = f", {scenario.replications} times over" if scenario.replications > 1 else ""
    yield (
        f"For {data['duration']} of virtual time from {data['start']}{many}, {_many(publishers, 'publisher')} "
        f"rent pods from {_many(providers, 'provider')} (seed {scenario.seed})."
    )
    yield _chain(scenario, data)
    yield _network(data)
    for provider, said in zip(scenario.providers, data["providers"], strict=True):
        yield _provider(provider, said)
    for publisher, said in zip(scenario.publishers, data["publishers"], strict=True):
        yield _publisher(publisher, said)
    for fault in data["faults"]:
        what = FAULTS[fault["kind"]].format(**{**fault, "party": fault.get("party") or "everybody", "regions": " and ".join(fault.get("regions", ()))})  # fmt: skip
        nodes = ", and its nodes with it" if fault.get("nodes") else ""
        yield f"At {fault['at']}, for {fault['for']}: {what}{nodes}."
    if scenario.sweep is not None:
        yield f"Its sweep (`trustedpods sweep`) is over {scenario.sweep}; a run leaves it out."
    output = data["output"]
    yield (
        f"A run keeps a sample of the state every {output['sampling']}, {output['requests']} of the single requests, and "
        f"{'the trace of what each party did' if output['events'] else 'no trace of what each party did'}."
    )


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _chain(scenario: Scenario, data: Data) -> str:
    chain, tokens = data["chain"], data["tokens"]
    backend = "a model of it" if chain["backend"] == "model" else "the contracts' own bytecode"
    wait = span_text(scenario.chain.block_time_ns * (scenario.chain.confirmations + 1))
    worth = (
        f", one {tokens['gas']['symbol']} counted as {tokens['gas']['price']}"
        if tokens["gas"]["price"]
        else ""
    )
    return (
        f"The chain ({backend}) has a block every {chain['block_time']}; a party counts on what is {chain['confirmations']} "
        f"blocks deep, so a transaction takes up to {wait} and more when blocks are full. Gas costs {_text(chain['gas_price'])}. Pods are paid in "
        f"{tokens['payment']['symbol']}, transactions in {tokens['gas']['symbol']}{worth}."
    )


def _network(data: Data) -> str:
    net = data["network"]
    return (
        f"A message between regions takes {_text(net['latency'])}, within one {_text(net['latency_same_region'])}; "
        f"{net['loss']} of them are lost."
    )


def _provider(group: Provider, said: Data) -> str:
    nodes = " and ".join(
        f"{_many(n['count'], 'node')} of {n['cpu']} cores and {n['memory']}" for n in said["nodes"]
    )
    prices = ", ".join(
        f"{name} {_text(price)}"
        for name, price in said["prices"].items()
        if price and not ZERO.fullmatch(price)
    )
    terms, cost = said["terms"], said["cost"]
    costs = (
        "Running costs it nothing."
        if all(ZERO.fullmatch(c) for c in cost.values())
        else f"Running costs {_text(cost['idle'])} a node and {_text(cost['busy'])} of what is reserved."
    )
    return (
        f"Provider {group.name}, {_members(group)} in {said['region']}, each with {nodes}. Asks {prices or 'nothing'}; price policy "
        f"{_text(said['policies']['price'])}, admission {_text(said['policies']['admission'])}, claims {_text(said['policies']['claim'])}. "
        f"It looks at meters and channels every {terms['tick']}, wants a first deposit for {terms['runway']} of running, and risks "
        f"{terms['exposure']} of unpaid work. A replica starts after {_text(said['cold_start']['schedule'])} of scheduling, the pull of its "
        f"image, its decryption, and {_text(said['cold_start']['application'])} of its own. {costs}"
    )


def _publisher(group: Publisher, said: Data) -> str:
    scaling, policies, client = said["scaling"], said["policies"], said["client"]
    least, most = scaling.get("min_replicas"), scaling.get("max_replicas")
    replicas = said["manifest"].get("replicas", {})
    least = replicas.get("min", 0) if least is None else least
    most = replicas.get("max", 100) if most is None else most
    service = said["service"]
    patience = (
        f"They give up after {client['timeout']}" if client["timeout"] else "They never give up by themselves"
    )
    retries = (
        f" and try again up to {client['retries']} times" if client["retries"] else " and never try again"
    )
    arrive = said["arrive"]
    come = (
        f"at {arrive['constant']}" if set(arrive) == {"constant"} else f"one after another ({_text(arrive)})"
    )
    life = (
        "stays to the end"
        if said["lifetime"] == "forever"
        else f"leaves after {_text(said['lifetime'])}, by {said['leave']}"
    )
    return (
        f"Publisher {group.name}, {_members(group)}, comes {come} and {life}. It runs {_containers(said['manifest'])} in {least} to {most} "
        f"replicas ({scaling.get('policy', 'keda')}); a replica serves {_many(group.slots, 'request')} at once ({said['discipline']}). Users come as "
        f"{_text(said['traffic'])}; a request takes {service if isinstance(service, str) else _text(service)}. {patience}{retries}. "
        f"It chooses a provider by {_text(policies['selection'])}, funds by {_text(policies['funding'])} from a wallet of "
        f"{said['wallet']['payment']}, and when its pod is lost: {_text(policies['on_loss'])}."
    )


def _members(group: Provider | Publisher) -> str:
    return (
        f"{group.name}-0"
        if group.count == 1
        else f"{group.count} of them ({group.name}-0 to {group.name}-{group.count - 1})"
    )


def _containers(manifest: Data) -> str:
    told = []
    for container in manifest["containers"]:
        amounts = []
        for request in container.get("resourceRequests", ()):
            if request["resource"] == "cpu":
                amounts.append(f"{request['amountMillis'] / 1000:g} cores")
            elif "amount" in request:
                amounts.append(f"{request['resource']} {request['amount'] / 2**20:g}Mi" if request["resource"] == "memory" else f"{request['resource']} {request['amount']}")  # fmt: skip
        told.append(f"{container['name']} ({', '.join(amounts) or 'no resources'})")
    return " and ".join(told)
