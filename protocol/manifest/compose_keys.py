"""The keys of a docker-compose file, and what becomes of each."""

from __future__ import annotations

from typing import Final

EXTENSION: Final = "x-trusted-pods"
HTTP_PORTS: Final = (80, 3000, 5000, 8000, 8080, 8888)
"""Published ports that are taken for HTTP when nothing is said (`app_protocol`, or `port` in `x-trusted-pods`)."""

TOP: Final = ("services", "volumes", "secrets", "configs", "networks", "version", "name")
SERVICE: Final = (
    "image", "command", "entrypoint", "working_dir", "environment", "env_file", "ports", "expose", "volumes", "tmpfs", "secrets",
    "configs", "deploy", "cpus", "mem_limit", "mem_reservation", "scale", "profiles", EXTENSION,
)  # fmt: skip
IGNORED: Final = {
    "restart": "what ends is always started again",
    "depends_on": "all containers of a pod start together",
    "healthcheck": "requests wait until the port answers",
    "networks": "the containers of a pod share one network address; services find each other by name",
    "container_name": "a container is called like its service",
    "hostname": "a container is called like its service",
    "labels": "there is nothing that reads them",
    "annotations": "there is nothing that reads them",
    "logging": "logs are read by `pod logs`",
    "links": "services find each other by name",
    "init": "the provider's runtime decides it",
    "stop_grace_period": "a replica has as long as its requests take",
    "stdin_open": "nobody is at a terminal",
    "tty": "nobody is at a terminal",
    "pull_policy": "images are pulled by digest",
    "platform": "the provider's nodes decide it",
    "develop": "it is for the machine of whoever develops",
    "attach": "it is for the terminal",
    "cap_drop": "all capabilities are dropped",
    "read_only": "the container's own file system stays writable",
    "oom_score_adj": "the provider's runtime decides it",
}
"""Keys that a pod does without, and why that is no harm."""
REFUSED: Final = {
    "build": "images are not built here: build it, push it, and name it in `image`",
    "privileged": "a stranger's container gets no privileges",
    "cap_add": "a stranger's container gets no privileges",
    "devices": "a pod reaches no device; GPUs are asked for in `deploy.resources.reservations.devices`",
    "network_mode": "a pod has its own network address",
    "pid": "a pod sees its own processes only",
    "ipc": "a pod has its own",
    "user": "a container runs as its image says; set USER when the image is built",
    "group_add": "a container runs as its image says",
    "userns_mode": "the provider decides it",
    "security_opt": "the provider decides it",
    "cgroup": "the provider decides it",
    "cgroup_parent": "the provider decides it",
    "runtime": "the provider decides it",
    "sysctls": "a stranger's container changes nothing of the node",
    "ulimits": "the provider decides it",
    "shm_size": "the provider decides it; mount a `tmpfs` instead",
    "extends": "write the service out, as `docker compose config` does",
    "volumes_from": "mount a volume that both services name",
    "external_links": "nothing beside the pod can be reached by name",
    "extra_hosts": "names are those of the services",
    "dns": "the provider decides it",
    "dns_search": "the provider decides it",
}
"""Keys that a pod cannot keep, and without which it would be another application."""
ONE_OF_EACH: Final = f"a replica of a pod holds one of each service; how many replicas: `{EXTENSION}: {{replicas: {{min: 0, max: 4}}}}` at the top"
