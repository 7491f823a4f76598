"""The files under deploy/, as far as they can be held against something without Docker, Kubernetes or systemd."""

import configparser
import json
import re

from project import REPOSITORY
from ruamel.yaml import YAML

DEPLOY = REPOSITORY / "deploy"


def test_the_kubernetes_template_is_filled_by_prefect():
    """As a worker fills it, with a deployment's job variables over the defaults: a job whose pod works in the mounted checkout."""
    from prefect.utilities.templating import apply_values

    template = json.loads((DEPLOY / "kubernetes/base-job-template.json").read_text())
    variables = template["variables"]["properties"]
    assert set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(template["job_configuration"]))) <= set(variables)
    values = {name: variable["default"] for name, variable in variables.items() if "default" in variable}
    filled = apply_values(
        template["job_configuration"],
        {**values, "command": ["prefect", "flow-run", "execute"], "image": "registry/robo:1"},
    )
    pod = filled["job_manifest"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert (container["image"], container["args"], container["workingDir"]) == (
        "registry/robo:1",
        ["prefect", "flow-run", "execute"],
        "/robo",
    )
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "robo-checkout"}
    assert "{{" not in json.dumps(filled)


def test_the_image_is_built_of_what_is_there():
    lines = (DEPLOY / "docker/Dockerfile").read_text().splitlines()
    copied = [file for line in lines if line.startswith("COPY ") for file in line.split()[1:-1]]
    sent = (REPOSITORY / ".dockerignore").read_text().split()
    assert copied and all((REPOSITORY / file).exists() and f"!{file.split('/')[0]}" in sent for file in copied)


def test_the_units_start_commands_that_exist():
    from flows.cli import COMMANDS

    for unit in (DEPLOY / "systemd").glob("*.service"):
        parsed = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes="#")
        parsed.optionxform = str
        parsed.read(unit)
        program, command = parsed["Service"]["ExecStart"].rsplit(maxsplit=1)
        assert not program.endswith("/robo") or command in COMMANDS


def test_no_password_stands_in_a_file():
    compose = YAML(typ="safe").load(DEPLOY / "compose.yaml")
    assert compose["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"].startswith("${ROBO_DB_PASSWORD:?")
    assert all(port.startswith("127.0.0.1:") for port in compose["services"]["postgres"]["ports"])
