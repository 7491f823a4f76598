"""An object store as DVC's remote and as the place of MLflow's files, against a real one (object_store.py): what is said of it where it cannot
be used, and that a cut in the middle leaves nothing damaged."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from object_store import BUCKET, KEY, SECRET, ObjectStore, relay
from real import free_port, wait_until
from stages import stage_environment

from flows import doctor, findings, processes
from flows.servers import mlflow_server
from pipeline.core.config import Config
from pipeline.core.errors import TemporaryError, UserError
from pipeline.publish.registry import facts, register
from pipeline.tracking import connected, fetch

READER = "reader-key"
POLICY = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": [READER]},
            "Action": ["s3:ListBucket", "s3:GetObject"],
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        }
    ]
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One whose bucket a second key may only read, and a third not even that."""
    import boto3

    found = ObjectStore(tmp_path_factory.mktemp("store"))
    found.start()
    for key in (READER, "stranger-key"):
        found.add_user(key, SECRET)
    client = boto3.client(
        "s3",
        endpoint_url=found.url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(POLICY))
    yield found
    found.stop()


@pytest.fixture
def environment(store, monkeypatch):
    """Of who may use it."""
    for name in [each for each in os.environ if each.startswith(("AWS_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    yield monkeypatch
    forget()


def forget():
    """Clients are kept for the process, with the keys that they began with."""
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A folder under DVC with the store as its remote."""
    from dvc.repo import Repo

    root = tmp_path / "repo"
    root.mkdir()
    monkeypatch.chdir(root)
    Repo.init(no_scm=True).close()
    name_remote()
    return root


def name_remote(**options):
    lines = [f"    {key} = {value}" for key, value in {"url": f"s3://{BUCKET}/dvc", **options}.items()]
    text = "[core]\n    remote = store\n    no_scm = True\n['remote \"store\"']\n" + "\n".join(lines) + "\n"
    Path(".dvc/config").write_text(text)


def said():
    """What `robo doctor` says of the stores, a line each: sign, what it is, what is so, what mends it."""
    forget()
    return [
        f"{doctor.SIGNS[each.how]} {each.what} {each.said}" + f" → {each.mend}" * bool(each.mend)
        for each in findings.stores()
    ]


def test_all_is_well(store, repo, environment):
    assert said() == [f"✓ remote store, s3://robo/dvc at {store.url}, can be listed and written"]
    assert not [file for file in store.bucket.rglob("*") if file.is_file()], "nothing stays"


# the environment, the remote's options, what is said of s3://robo/dvc at the store
WRONG = {
    "no credentials": (
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
        {},
        "there are no credentials in the environment → set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "half of them": (
        {"AWS_SECRET_ACCESS_KEY": None},
        {},
        "half of the credentials is missing in the environment → set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "wrong key": ({"AWS_ACCESS_KEY_ID": "nobody"}, {}, "it knows no such key → mend AWS_ACCESS_KEY_ID"),
    "wrong secret": (
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
        {},
        "the secret is not the key's → mend AWS_SECRET_ACCESS_KEY",
    ),
    "wrong token": (
        {"AWS_SESSION_TOKEN": "wrong"},
        {},
        "the session's token is not the key's → mend or unset AWS_SESSION_TOKEN",
    ),
    "a stranger": (
        {"AWS_ACCESS_KEY_ID": "stranger-key"},
        {},
        "listing is not allowed → ask who runs it for the right to list, read, write and delete there",
    ),
    "no bucket": (
        {},
        {"url": "s3://nobody/dvc"},
        "there is no bucket nobody → make it, or mend its address: dvc remote modify store url s3://BUCKET/FOLDER",
    ),
    "no bucket's name": (
        {},
        {"url": "s3://No_Body/dvc"},
        "No_Body cannot be a bucket's name → mend its address: dvc remote modify store url s3://BUCKET/FOLDER",
    ),
    "away": (
        {},
        {"endpointurl": "http://127.0.0.1:1"},
        "it does not answer → start it, or mend its address: dvc remote modify store endpointurl URL",
    ),
    "away, by the environment": (
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        {},
        "it does not answer → start it, or mend AWS_ENDPOINT_URL",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_in_one_line(store, repo, environment, wrong):
    variables, options, expected = WRONG[wrong]
    for name, value in variables.items():
        environment.delenv(name) if value is None else environment.setenv(name, value)
    name_remote(**options)
    where = f"{options.get('url', 's3://robo/dvc')} at {options.get('endpointurl') or os.environ['AWS_ENDPOINT_URL']}"
    assert said() == [f"✗ remote store, {where}: {expected}"]


def test_who_may_only_read_can_pull(store, repo, environment):
    environment.setenv("AWS_ACCESS_KEY_ID", READER)
    (line,) = said()
    assert line.startswith(f"· remote store, s3://robo/dvc at {store.url}: writing is not allowed → ask who runs it")


def test_a_key_in_a_file_that_git_holds(store, repo, environment):
    name_remote(access_key_id=KEY, secret_access_key=SECRET)
    line = said()[-1]
    assert line.startswith("✗ remote access_key_id, secret_access_key of store in .dvc/config, which git holds")
    assert SECRET not in line


def test_a_remote_on_a_disk(store, repo, environment, tmp_path):
    name_remote(url=str(tmp_path / "disk"))
    assert said() == [f"✓ remote store, {tmp_path}/disk, is made by the first dvc push"]
    (tmp_path / "disk").mkdir()
    assert said() == [f"✓ remote store, {tmp_path}/disk, can be listed and written"]
    assert not list((tmp_path / "disk").iterdir())


def test_a_kind_of_remote_whose_package_is_not_there(environment, repo):
    name_remote(url="gs://bucket/dvc")
    assert said() == ["✗ remote store: gs is supported, but requires 'dvc-gs' to be installed → pip install dvc-gs"]


def test_mlflow_is_not_started_on_a_store_that_it_cannot_use(store, environment, tmp_path):
    forget()
    environment.setenv("MLFLOW_ARTIFACTS_DESTINATION", "s3://nobody/mlflow")
    with pytest.raises(
        UserError, match=f"^MLFLOW_ARTIFACTS_DESTINATION s3://nobody/mlflow at {store.url}: there is no bucket nobody; "
    ):
        mlflow_server(tmp_path, free_port(), tmp_path / "log")
    environment.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(TemporaryError, match=r":1: it does not answer; start it, or mend MLFLOW_S3_ENDPOINT_URL$"):
        mlflow_server(tmp_path, free_port(), tmp_path / "log")


# --- cut in the middle ------------------------------------------------------------------------------------------------


@pytest.fixture
def own_store(environment, tmp_path):
    """One that may be killed, on a small disk of its own where that can be had, and the environment of who may use it."""
    store = ObjectStore(tmp_path / "s3")
    store.start()
    for name, value in store.environment.items():
        environment.setenv(name, value)
    yield store
    store.stop()


def start_dvc(*command, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *command],
        env=stage_environment(**more),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def md5(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def damaged(folder):
    """Files of a DVC store whose content is not what their name says; those under way have names that begin with a dot."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]
    return [file for file in files if md5(file) != f"{file.parent.name}{file.stem}"]


def dvc(act, *arguments, **options):
    """In this process, which saves two seconds each time."""
    from dvc.repo import Repo

    with Repo(".") as repo:
        return getattr(repo, act)(*arguments, **options)


def status():
    return dvc("status", cloud=True)


@pytest.mark.slow
def test_cut_in_mid_upload_and_download(own_store, repo, tmp_path):
    """The one who pushes killed, then the store, then the one who pulls: once more, and everything is there."""
    Path("big").write_bytes(os.urandom(2**20) * 120)  # goes in parts of 50 MB
    Path("small").mkdir()
    for number in range(8):
        Path(f"small/{number}").write_bytes(os.urandom(2**18))
    dvc("add", ["big", "small"])
    objects = own_store.bucket / "dvc"

    def cut(command, victim, **more):
        """What it printed, when `victim` was killed after so many bytes."""
        with relay(own_store.port, 30 * 2**20) as link:
            going = start_dvc(command, AWS_ENDPOINT_URL=link.url, **more)
            assert link.held.wait(180), "nothing was held"
            victim(going)
            link.cut()
            out = going.communicate(timeout=120)[0]
        assert going.returncode and not damaged(objects)
        return out

    cut("push", lambda pushing: pushing.kill())
    out = cut("push", lambda pushing: own_store.stop(signal.SIGKILL), AWS_MAX_ATTEMPTS="1")
    assert re.search(r"failed to push data to the cloud - \d files? failed to upload", out)
    own_store.start()
    assert "big" in str(status())
    assert dvc("push")
    assert not status() and not damaged(objects) and len(list(objects.rglob("??/*"))) == 10

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(".", elsewhere, ignore=shutil.ignore_patterns("big", "small", "cache", "tmp"))
    with contextlib.chdir(elsewhere):
        cut("pull", lambda pulling: pulling.kill())
        assert not damaged(elsewhere / ".dvc/cache/files")
        dvc("pull")
        assert not status()
    for file in ("big", *(f"small/{number}" for number in range(8))):
        assert md5(elsewhere / file) == md5(repo / file)


@pytest.mark.slow
def test_a_full_bucket(environment, repo, tmp_path):
    """What fits is there, whole; what does not is named, and goes there once there is room."""
    disk = tmp_path / "s3" / "store"
    disk.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        store = ObjectStore(tmp_path / "s3")
        store.start()
        name_remote(endpointurl=store.url)
        Path("big").write_bytes(os.urandom(2**21))
        Path("small").write_bytes(os.urandom(2**19))
        dvc("add", ["big", "small"])
        out = start_dvc("push").communicate(timeout=120)[0]
        assert "No space left on device" in out and "1 files failed to upload" in out
        assert not damaged(store.bucket / "dvc") and len(list((store.bucket / "dvc").rglob("??/*"))) == 1
        (store.bucket / "another").write_bytes(bytes(shutil.disk_usage(disk).free))
        assert said() == [f"✗ remote store, s3://robo/dvc at {store.url}: it is full → make room there"]
        (store.bucket / "another").unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        assert dvc("push") == 1 and not status() and not damaged(store.bucket / "dvc")
    finally:
        store.stop()
        subprocess.run(["umount", disk], check=True)


@pytest.mark.slow
def test_mlflow_keeps_its_files_there_and_clients_need_no_key(own_store, project, environment):
    """A version is registered through the server; one whose store went away in the middle is told so once, and registered when it is back."""
    environment.setenv("MLFLOW_ARTIFACTS_DESTINATION", f"s3://{BUCKET}/mlflow")
    environment.setenv("AWS_MAX_ATTEMPTS", "1")  # else the server tries for ten seconds, each time that it is asked
    port = free_port()
    server = mlflow_server(project, port, project / ".state/logs/mlflow.log")
    processes.start(server)
    try:
        processes.wait_until_ready([server], 120)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
            environment.delenv(name)
        uri = f"http://127.0.0.1:{port}"

        def stored():
            return [file for file in (own_store.bucket / "mlflow").rglob("*") if file.is_file()]

        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(register, Config(project), uri)
            wait_until(lambda: len(stored()) > 2 or going.done(), "nothing was sent")
            own_store.stop(signal.SIGKILL)
            with pytest.raises(
                UserError, match="the place where it keeps files is away, full or closed to it"
            ) as failed:
                going.result()
        assert len(str(failed.value).splitlines()) == 2
        own_store.start()
        assert register(Config(project), uri).version == 1
        assert {"tokenizer.json", "model.safetensors", "Q4_K_M.gguf"} <= {file.name for file in stored()}
        with connected(uri) as client:
            version = client.get_model_version_by_alias("robo-micropython", "candidate")
            fetch(
                "models:/robo-micropython/1/artifacts/Q4_K_M.gguf",
                facts(client, version)["served_sha256"],
                project / ".state",
            )
            tokenizer = client.download_artifacts(version.run_id, "tokenizer/tokenizer.json", str(project / ".state"))
        assert md5(tokenizer) == md5(project / "data/tokenizer/tokenizer.json")
        assert not list(project.glob(".state/mlartifacts"))
        log = (project / ".state/logs/mlflow.log").read_text()
        assert SECRET not in log
    finally:
        processes.stop([server])
