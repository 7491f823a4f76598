"""Whether a store elsewhere can be listed and written with the credentials at hand: DVC's remote, and where MLflow's server keeps files.

`dvc push` passes on what the store said to one of a hundred requests ("Forbidden ... HeadObject"), and MLflow's server tells its clients of a
500 alone. So what they will do is done before, with one small file that is taken away again, and one line says what is wrong and what would
be right. Credentials come from the environment, or from where the client of that kind of store keeps them; never from a file that git holds.
"""

import os
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import TemporaryError, UserError
from pipeline.core.files import DISK_FULL
from pipeline.tracking import PING_SECONDS, shown

PROBE, PROBE_BYTES = ".robo-probe", 65536
PATIENCE = {"connect_timeout": PING_SECONDS, "read_timeout": PING_SECONDS, "retries": {"max_attempts": 0}}
# The options of DVC's remotes that nobody else may read.
SECRETS = {
    *("access_key_id", "secret_access_key", "session_token", "sse_customer_key", "password", "token", "account_key"),
    *("sas_token", "connection_string", "client_secret", "oss_key_id", "oss_key_secret", "gdrive_client_secret"),
}
KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
FULL = ("it is full", "make room there")
FORBIDDEN = ("{act} is not allowed", "ask who runs it for the right to list, read, write and delete there")
AWAY = ("it does not answer", "start it, or mend {endpoint}")
# As stores and their clients call it -> what is wrong, what would be right.
REASONS = {
    "NoCredentialsError": ("there are no credentials in the environment", KEYS),
    "PartialCredentialsError": ("half of the credentials is missing in the environment", KEYS),
    "InvalidAccessKeyId": ("it knows no such key", "mend AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": ("the secret is not the key's", "mend AWS_SECRET_ACCESS_KEY"),
    "InvalidToken": ("the session's token is not the key's", "mend or unset AWS_SESSION_TOKEN"),
    "ExpiredToken": ("the credentials have expired", "get new ones"),
    "RequestTimeTooSkewed": ("its clock and ours differ", "set this machine's clock"),
    "AuthorizationHeaderMalformed": ("it is in another region", "mend AWS_DEFAULT_REGION"),
    "NoSuchBucket": ("there is no bucket {bucket}", "make it, or mend {url}"),
    "InvalidBucketName": ("{bucket} cannot be a bucket's name", "mend {url}"),
    "404": ("what answers there is no object store", "mend {endpoint}"),
    "SSLError": ("it does not speak https as it should", "mend {endpoint}, or name its certificate in AWS_CA_BUNDLE"),
    **dict.fromkeys(("AccessDenied", "403", "PermissionError"), FORBIDDEN),
    **dict.fromkeys(("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"), FULL),
    **dict.fromkeys(
        ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError"), AWAY
    ),
}


class NotWritable(UserError):
    """It can be read: who only pulls needs no more."""


@dataclass(frozen=True)
class Store:
    """A folder of a file system as fsspec has it; `url` and `endpoint` say where a person sets its address and its server's."""

    said: str
    fs: Any
    folder: str
    url: str
    endpoint: str
    has_folders: bool = False  # as disks have; in an object store the first file makes its folder

    def check(self) -> str:
        """Lists the folder, and writes and deletes a small file in it; returns what can be done there. Raises UserError."""
        act, file = "listing", f"{self.folder.rstrip('/')}/{PROBE}"
        try:
            try:
                self.fs.ls(self.folder, detail=False, refresh=True)
            except FileNotFoundError as error:
                if code(error) != "FileNotFoundError":
                    raise
                if self.has_folders:
                    return "is made by the first dvc push"
            act = "writing"
            self.fs.pipe_file(file, bytes(PROBE_BYTES))
            act = "deleting"
            self.fs.rm_file(file)
            return "can be listed and written"
        except NotImplementedError:  # by plain HTTP
            raise NotWritable(f"{self.said}: it cannot be listed or written from here; dvc status --cloud") from None
        except Exception as error:  # the client of each kind of store has its own
            raise self.explained(error, act) from error

    def explained(self, error: Exception, act: str) -> UserError:
        reason = FULL if getattr(error, "errno", None) in DISK_FULL else REASONS.get(code(error))
        if reason is None:
            return UserError(f"{self.said}: {code(error)}: {' '.join(str(error).split())}; ask who runs it")
        what, right = (
            part.format(act=act, bucket=self.folder.split("/")[0], url=self.url, endpoint=self.endpoint)
            for part in reason
        )
        kind = (
            TemporaryError if reason is AWAY else NotWritable if reason is FORBIDDEN and act == "writing" else UserError
        )
        return kind(f"{self.said}: {what}; {right}")


def code(error: BaseException) -> str:
    """What the store calls it, else the name of its client's exception."""
    each: BaseException | None = error
    while each:
        if isinstance(response := getattr(each, "response", None), dict):
            return response["Error"]["Code"]
        each = each.__cause__
    return type(error).__name__


def server(given: str | None = None) -> str | None:
    """The address that S3's clients take, unless they are given one."""
    return given or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def at(url: str, endpoint: str | None) -> str:
    return f"{url} at {endpoint}" if endpoint else url


def remote(repo) -> Store | None:
    """DVC's default remote, if there is one. Raises UserError where its kind needs packages that are not there."""
    from dvc.exceptions import DvcException
    from dvc_objects.fs.base import ObjectFileSystem
    from dvc_objects.fs.errors import RemoteMissingDepsError

    if not (name := repo.config["core"].get("remote")):
        return None
    try:
        found = repo.cloud.get_remote(name)
    except ImportError as error:
        raise UserError(
            f"{name}: {error}; pip install dvc-{repo.config['remote'][name]['url'].split(':')[0]}"
        ) from None
    except (DvcException, RemoteMissingDepsError) as error:
        raise UserError(f"{name}: {error}; mend .dvc/config") from None
    options, endpoint = repo.config["remote"][name], None
    if found.fs.protocol == "s3":
        endpoint = server(options.get("endpointurl"))
        found.fs.fs_args["config_kwargs"] = {**found.fs.fs_args.get("config_kwargs", {}), **PATIENCE}
    return Store(
        f"{name}, {at(shown(options['url']), endpoint)}",
        found.fs,
        found.path,
        f"its address: dvc remote modify {name} url s3://BUCKET/FOLDER",
        f"its address: dvc remote modify {name} endpointurl URL"
        if endpoint == options.get("endpointurl")
        else "AWS_ENDPOINT_URL",
        has_folders=not isinstance(found.fs, ObjectFileSystem),
    )


def artifacts() -> Store | None:
    """Where MLflow's server keeps files, if that is in S3: MLFLOW_ARTIFACTS_DESTINATION, by the variables of MLflow's own client."""
    destination = os.environ.get("MLFLOW_ARTIFACTS_DESTINATION", "")
    if not destination.startswith("s3://"):
        return None
    try:
        from s3fs import S3FileSystem
    except ImportError:
        raise UserError(
            "MLFLOW_ARTIFACTS_DESTINATION: s3:// needs more packages; pip install 'robo-micropython[s3]'"
        ) from None
    given = os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None
    style = os.environ.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE") or "auto"
    fs = S3FileSystem(
        endpoint_url=given,
        client_kwargs={"verify": False} if os.environ.get("MLFLOW_S3_IGNORE_TLS") == "true" else {},
        config_kwargs={**PATIENCE, "s3": {"addressing_style": style}},
    )
    return Store(
        f"MLFLOW_ARTIFACTS_DESTINATION {at(destination, server(given))}",
        fs,
        destination.removeprefix("s3://"),
        "MLFLOW_ARTIFACTS_DESTINATION",
        "MLFLOW_S3_ENDPOINT_URL" if given else "AWS_ENDPOINT_URL",
    )
