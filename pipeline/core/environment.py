"""What this process and its children take from the shell that it was started in.

A person's shell holds more than is meant for us: a proxy of the company, another project's MLflow run, the git repository whose hook we
run in, a terminal that knows no UTF-8, a user id without a name. What none of our processes may go by is mended here, once, by
each way in (`robo`, a stage, a worker and its engine) before it imports a library; children inherit it.

Variables that a person means for us stay as they are: PREFECT_API_URL, MLFLOW_TRACKING_URI, OLLAMA_HOST, passwords, databases, proxies.
"""

import contextlib
import io
import os
import pwd
import signal
import socket
import sys

# Which run, experiment or repository another tool was at: ours would be written there, or fail for it at the very end.
LEFT_BEHIND = (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_ACTIVE_MODEL_ID",
    "_MLFLOW_ACTIVE_MODEL_ID",
    "MLFLOW_ENABLE_ASYNC_LOGGING",
    "PREFECT_PROFILE",
    "PREFECT_PROFILES_PATH",
    # git sets these for its hooks, and they go before the folder that we ask about; `git rev-parse --local-env-vars`
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_PREFIX",
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def own_names() -> list[str]:
    """What this machine is called, and the address that others see."""
    found = [socket.gethostname()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing; the system picks the address
        found.append(probe.getsockname()[0])
    return found


def reach_this_machine_directly(*more: str) -> None:
    """No proxy is asked for what runs here (nor for the hosts `more`), whatever variables there are."""
    given = {name: value for name, value in os.environ.items() if name.lower() in PROXIES and value}
    for name, value in given.items():
        # A desktop may set one for all programs. No library here can use it, and httpx refuses to start over it.
        if value.startswith("socks"):
            del os.environ[name]
    kept = [host.strip() for name in ("no_proxy", "NO_PROXY") for host in os.environ.get(name, "").split(",")]
    if given and "*" not in kept:  # which stands for all hosts only where it stands alone
        direct = ["localhost", "127.0.0.1", "::1", "0.0.0.0", *own_names(), *more]
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys(filter(None, [*kept, *direct])))


def have_a_name() -> None:
    """Gives a user id without an entry in the password file (`docker --user`, Kubernetes' runAsUser) the name and home that libraries ask
    for: Docker's own home for it."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        if not any(
            os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")
        ):  # getpass.getuser() asks these
            os.environ["USER"] = f"uid{os.getuid()}"
        os.environ.setdefault("HOME", "/")


def write_any_text() -> None:
    """A sign that the terminal does not know must not end a training: it becomes a `?`. Children write to pipes of ours, in UTF-8."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # what took its place, as in a notebook, knows no signs but its own
        sys.stdout.reconfigure(errors="replace")
    os.environ.pop("PYTHONIOENCODING", None)
    os.environ["PYTHONUTF8"] = "1"


def prepare() -> None:
    for name in LEFT_BEHIND:
        os.environ.pop(name, None)
    reach_this_machine_directly()
    have_a_name()
    write_any_text()


def nobody_reads() -> int:
    """After a BrokenPipeError (`| head -1`): keeps Python from telling of it once more at its end; returns the exit status, as shells say it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
