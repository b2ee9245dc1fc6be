"""What `trustedpods new` writes: a small scenario with its manifest, commented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from protocol.errors import BadInput

NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

SCENARIO: Final = """\
# yaml-language-server: $schema=scenario.schema.json
#
# A scenario of Trusted Pods: who offers machines, who rents pods on them, who calls the pods, what breaks.
#
#   trustedpods validate {name}/scenario.yaml     checks it
#   trustedpods show {name}/scenario.yaml         prints it with every default and unit
#   trustedpods run {name}/scenario.yaml          runs it
#
# Quantities are written as people do: 24h, 500m, 2Gi, 0.9/s, 0.1%, 5 DAI, 0.012 DAI/core-h.

name: {name}
about: Two classes of providers, publishers that top up and publishers that do not.
seed: 1                       # every draw follows from it: same seed, same results
duration: 2h                  # virtual time

chain:
  block_time: 2s
  confirmations: 3            # blocks until a party believes what it sees
  gas_price: 0.005 gwei

tokens:
  payment: {{symbol: DAI, decimals: 18}}
  gas: {{symbol: ETH, decimals: 18, price: 2500 DAI}}

providers:
  - name: budget
    count: 2                  # budget-0 and budget-1
    region: bul-east-1
    nodes: [{{count: 2, cpu: 8, memory: 32Gi}}]
    prices: {{cpu: 0.009 DAI/core-h, memory: 0.0012 DAI/GiB-h}}
    cost: {{idle: 0.02 DAI/h, busy: 0.002 DAI/core-h}}
    cold_start: {{application: {{lognormal: {{mean: 1.9s, cv: 0.6}}}}}}
  - name: premium
    region: fra-west-1
    assurance: cluster        # what its attestation covers: none, client, cluster or pod
    nodes: [{{count: 2, cpu: 16, memory: 64Gi}}]
    prices: {{cpu: 0.03 DAI/core-h, memory: 0.004 DAI/GiB-h}}
    cold_start: {{application: 1s}}

publishers:
  - name: careful             # tops its channel up before it runs out
    count: 6
    manifest: manifest.yaml
    scaling: {{policy: keda, target_pending_requests: 2, max_replicas: 5, idle: 120s}}
    slots: 2                  # requests that a replica serves at once
    traffic: {{poisson: 0.2/s}}
    service: {{exponential: 1s}}
    wallet: {{payment: 5 DAI}}
    policies: {{selection: cheapest, funding: {{use: runway, with: {{first: 1h, low: 30m, tranche: 1h}}}}}}
  - name: once                # deposits once; when that is spent, its pod is removed
    count: 4
    manifest: manifest.yaml
    scaling: {{policy: keda, target_pending_requests: 2, min_replicas: 1, max_replicas: 5}}
    slots: 2
    traffic: {{poisson: {{steps: [{{at: 0s, rate: 6/min}}, {{at: 1h, rate: 20/min}}]}}}}
    service: {{lognormal: {{mean: 1.5s, cv: 1.2}}}}
    policies: {{funding: {{use: once, with: {{first: 1h}}}}}}

faults:
  - {{kind: provider_crash, provider: budget-1, at: 40m, for: 5m, nodes: true}}

output: {{sampling: 30s, requests: 1/20}}
"""

MANIFEST: Final = """\
# What each publisher of the scenario runs: the manifest that would be deployed for real.
containers:
  - name: web
    image: docker.io/library/nginx:1.27
    port: 80                  # reached over HTTP, so the pod can scale to zero
    resources: {cpu: 250m, memory: 128Mi}
"""


def write_scenario(folder: Path) -> Path:
    """Writes the scenario, its manifest and the schema into a new folder.

    Returns:
        The scenario's path.

    Raises:
        BadInput: the folder exists, or its name cannot be a scenario's.
        OSError: it cannot be written.
    """
    if not NAME.fullmatch(folder.name) or len(folder.name) > 63:
        raise BadInput(
            f"'{folder.name}' cannot be the name of a scenario: lower-case letters, digits and dashes, at most 63"
        )
    if folder.exists():
        raise BadInput(f"{folder}: exists already; nothing was written")
    from sim.scenario.reference import schema_text

    folder.mkdir(parents=True)
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO.format(name=folder.name), encoding="utf-8")
    (folder / "manifest.yaml").write_text(MANIFEST, encoding="utf-8")
    (folder / "scenario.schema.json").write_text(schema_text(), encoding="utf-8")
    return path
