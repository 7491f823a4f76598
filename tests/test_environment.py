"""What a person's shell may hold: proxies, variables left behind, a terminal without UTF-8, a reader that goes away, a user id without a name;
and servers and databases that are not what they should be, told before the work."""

import os
import shutil
import sqlite3
import subprocess
import sys
import venv
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock

import pytest
from project import REPOSITORY
from stages import copy_configs

from flows.processes import answers, reason
from flows.servers import check_prefect
from pipeline import tracking
from pipeline.core.environment import LEFT_BEHIND, own_names, reach_this_machine_directly
from pipeline.core.errors import UserError
from pipeline.publish import serving


def python(
    program: str, *arguments: str, cwd: Path = REPOSITORY, before: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess:
    """A program in a process of its own, with a shell's variables."""
    plain = {
        k: v
        for k, v in os.environ.items()
        if not k.lower().endswith("_proxy") and k not in (*LEFT_BEHIND, "USER", "LOGNAME", "HOME")
    }
    return subprocess.run(
        [*before, sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env={**plain, "PYTHONPATH": str(REPOSITORY), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )


@contextmanager
def server(body: bytes, address: str = "127.0.0.1"):
    """The port of an HTTP server that answers `body` to everything."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer((address, 0), Answers)
    Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield running.server_port
    finally:
        running.shutdown()
        running.server_close()


# --- proxies ----------------------------------------------------------------------------------------------------------

DEAD = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "variables, for_others",
    [
        ({}, None),
        ({"http_proxy": DEAD, "https_proxy": DEAD}, DEAD),
        ({"HTTP_PROXY": DEAD, "NO_PROXY": "example.com"}, DEAD),
        ({"all_proxy": DEAD, "no_proxy": "192.168.0.0/16, .example.com"}, DEAD),
        ({"http_proxy": DEAD, "no_proxy": "*"}, None),
        ({"http_proxy": DEAD, "all_proxy": "socks://127.0.0.1:9"}, DEAD),  # as GNOME sets them
        ({"ALL_PROXY": "socks5h://127.0.0.1:9"}, None),
    ],
    ids=str,
)
def test_nothing_on_this_machine_is_asked_through_a_proxy(variables, for_others):
    """By us, and by what stands under the clients of Ollama and Prefect (httpx, websockets) and of MLflow (requests)."""
    import httpx
    import requests
    from websockets.proxy import get_proxy
    from websockets.uri import parse_uri

    with mock.patch.dict(os.environ), server(b"", "0.0.0.0") as port:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]
        os.environ.update(variables)
        reach_this_machine_directly()
        for host in ("127.0.0.1", "localhost", "0.0.0.0", *own_names()[1:]):
            url = f"http://{host}:{port}/"
            assert answers(url) and requests.get(url, timeout=5).ok and httpx.Client().get(url).is_success, url
            assert get_proxy(parse_uri(f"ws://{host}:1/")) is None, url
        proxies = requests.utils.get_environ_proxies("http://example.org/")
        assert (proxies.get("http") or proxies.get("all")) == for_others


# --- variables left behind, and servers that are not there ------------------------------------------------------------


def test_what_another_tool_left_behind_is_not_gone_by():
    keep = {
        "MLFLOW_TRACKING_URI": "http://mlflow",
        "PREFECT_API_URL": "http://prefect/api",
        "OLLAMA_HOST": "ollama",
        "http_proxy": DEAD,
    }
    done = python(
        "import os; from pipeline.core.environment import prepare; prepare(); print(sorted(os.environ))",
        **keep,
        **dict.fromkeys(LEFT_BEHIND, "left behind"),
    )
    said = done.stdout.decode()
    assert not [name for name in LEFT_BEHIND if repr(name) in said] and all(repr(name) in said for name in keep), (
        said + done.stderr.decode()
    )


@pytest.mark.parametrize(
    "ask, says",
    [
        (
            lambda: check_prefect(f"{DEAD}/api"),
            "PREFECT_API_URL: no Prefect server answers at http://127.0.0.1:9/api .*unset PREFECT_API_URL",
        ),
        (lambda: check_prefect("nonsense"), "PREFECT_API_URL: no Prefect server answers at nonsense"),
        (lambda: tracking.check(DEAD), "MLflow does not answer at http://127.0.0.1:9 .*unset MLFLOW_TRACKING_URI"),
        (lambda: tracking.check("nonsense://x"), "MLflow at nonsense://x: .*unsupported URI"),
        (
            lambda: tracking.check("sqlite:////proc/none/x.db"),
            "MLflow at sqlite:////proc/none/x.db: FileNotFoundError.*mend MLFLOW_TRACKING_URI",
        ),
        (lambda: serving.address("host:port"), "OLLAMA_HOST: 'host:port' is no address"),
        (lambda: serving.address("http://[::1"), "OLLAMA_HOST: 'http://.::1' is no address"),
    ],
    ids=range(7),
)
def test_a_server_that_is_not_there_is_one_message(ask, says):
    with pytest.raises(UserError, match=says):
        ask()


@pytest.mark.parametrize(
    "uri, said",
    [
        ("postgresql+psycopg2://me:sesame@db/x", "postgresql+psycopg2://me:***@db/x"),
        ("http://db:5000", "http://db:5000"),
        ("sqlite:////a/b:c@d.db", "sqlite:////a/b:c@d.db"),
    ],
)
def test_a_password_is_not_told(uri, said):
    assert tracking.shown(uri) == said


def test_what_answers_is_no_prefect():
    with (
        server(b"<!DOCTYPE html>") as port,
        pytest.raises(UserError, match="is no Prefect API, whose address ends in /api"),
    ):
        check_prefect(f"http://127.0.0.1:{port}")
    with server(b"true") as port:
        check_prefect(f"http://127.0.0.1:{port}/api/")


# --- databases of another version, and the useful line of a log -------------------------------------------------------


@pytest.mark.parametrize("package, known", [("prefect", "a3b9c7d2e5f1"), ("mlflow", "dc11669786a5")])
def test_a_newer_database(tmp_path, package, known):
    database = tmp_path / "mit Umläuten?.db"
    tracking.check_version(package, database)  # not there yet
    with sqlite3.connect(database) as connection:
        connection.execute("create table other (x)")
        connection.commit()
        tracking.check_version(package, database)
        connection.execute("create table alembic_version (version_num)")
        connection.execute("insert into alembic_version values (?)", (known,))
        connection.commit()
        tracking.check_version(package, database)
        connection.execute("update alembic_version set version_num = 'ffff00001111'")
    with pytest.raises(
        UserError, match=f"Umläuten.*written by a newer {package} than the .* installed.*make setup.*move the file away"
    ):
        tracking.check_version(package, database)
    database.write_text("no database at all, but a text")
    with pytest.raises(UserError, match="file is not a database; move it away"):
        tracking.check_version(package, database)


BANNER = ["", " ___ ___ ", "Configure Prefect to communicate with the server with:", "", "Server stopped!"]


@pytest.mark.parametrize(
    "said, expected",
    [
        ([], "(nothing)"),
        (["one", "two", ""], "two"),
        (
            [
                "Traceback (most recent call last):",
                "  File",
                "ModuleNotFoundError: No module named 'x'",
                "An exception occurred.",
            ],
            "ModuleNotFoundError: No module named 'x' An exception occurred.",
        ),
        (
            [
                "alembic.util.exc.CommandError: Can't locate revision identified by 'f'",
                "",
                "ERROR:    Application startup failed. Exiting.",
                *BANNER,
            ],
            "alembic.util.exc.CommandError: Can't locate revision identified by 'f'",
        ),
        (
            [
                "OSError: first",
                "",
                "During handling of the above exception, another exception occurred:",
                "x.ValidationError: 1 error",
                "port",
                "  Input should be a number",
                "",
                *BANNER,
            ],
            "x.ValidationError: 1 error port Input should be a number",
        ),
        (["starts", "error: no Prefect server answers"], "error: no Prefect server answers"),
    ],
    ids=range(6),
)
def test_the_useful_line_of_a_log(said, expected):
    assert reason(said) == expected


# --- terminals and readers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables, shown",
    [
        ({"PYTHONIOENCODING": "ascii"}, b"led ? ?"),
        ({"PYTHONIOENCODING": "latin-1"}, "led ä ?".encode("latin-1")),
        ({"PYTHONUTF8": "0", "LC_ALL": "C"}, b"led ? ?"),
        ({}, "led ä ▸".encode()),
    ],
    ids=str,
)
def test_a_terminal_that_is_not_utf8(tmp_path, variables, shown):
    """A stage says all it has to say; what it starts writes UTF-8."""
    program = (
        "import subprocess as s, sys\nfrom pipeline.core import stage\nfrom pathlib import Path\n"
        "def main(config):\n    print('led \\u00e4 \\u25b8', Path('x').absolute())\n"
        "    print(s.check_output([sys.executable, '-c', 'print(chr(0x25b8))']).strip() == b'\\xe2\\x96\\xb8')\nstage.run('pack', main)"
    )
    done = python(program, cwd=copy_configs(tmp_path / "Möhre"), **variables)
    assert done.returncode == 0 and done.stdout.startswith(shown) and done.stdout.endswith(b"True\n"), (
        done.stdout + done.stderr
    )


def without_a_reader(*command: str, cwd: Path = REPOSITORY) -> tuple[int, str]:
    """(exit status, what stands on stderr) of a command whose output nobody reads any more, as after `| head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    return done.returncode, done.stderr


def test_what_stands_in_place_of_the_terminal_is_left_alone():
    """As a notebook's does, which has no errors= to set."""
    done = python(
        "import contextlib, io\nfrom pipeline.core.environment import prepare\n"
        "with contextlib.redirect_stdout(io.StringIO()) as there:\n    prepare()\n    print('▸')\nprint(len(there.getvalue()))"
    )
    assert done.stdout == b"2\n", done.stderr


@pytest.mark.parametrize(
    "program", ["sys.argv = ['robo', 'board', '--devices']", "cli.dispatch = lambda: print('x' * 100_000)"]
)
def test_a_reader_that_has_seen_enough(program):
    status, errors = without_a_reader("-c", f"import sys\nfrom flows import cli\n{program}\ncli.main()")
    assert status in (1, 141) and errors == ""  # rich, which prints tables, has a status of its own


def test_a_stage_whose_reader_is_gone_ends_without_a_traceback(tmp_path):
    program = "from pipeline.core import stage\nstage.run('pack', lambda config: print('x' * 100_000))"
    assert without_a_reader("-c", program, cwd=copy_configs(tmp_path)) == (
        141,
        "error: pack: nobody reads any more what it says, so it ends; run again to start it anew\n",
    )


# --- an environment that is not activated -----------------------------------------------------------------------------


def test_what_the_environment_starts_as_python_is_its_own(tmp_path, monkeypatch):
    """As `.venv/bin/dvc repro` does, in a shell with another `python` or none."""
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    import setup

    folder = tmp_path / "my project/.venv"
    venv.create(folder)
    setup.find_own_programs(folder)
    program = "import subprocess; subprocess.run('exec python -c \"import sys; print(sys.prefix)\"', shell=True)"
    done = subprocess.run(
        [folder / "bin/python", "-c", program], env={"PATH": "/nowhere"}, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == (str(folder), "")


# --- a user id without an entry ---------------------------------------------------------------------------------------

AS_NOBODY = ("unshare", "--user", "--map-user=54321", "--map-group=54321")


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*AS_NOBODY, "true"], capture_output=True).returncode != 0,
    reason="this machine lets nobody take another user id",
)
@pytest.mark.parametrize(
    "variables, user, home", [({}, "uid54321", "/"), ({"USER": "robo", "HOME": "/tmp"}, "robo", "/tmp")]
)
def test_a_user_id_without_an_entry(variables, user, home):
    """As in `docker --user` and Kubernetes' runAsUser: what libraries ask for is there."""
    program = (
        "from pipeline.core.environment import prepare\nprepare()\nimport getpass, pathlib\nfrom flows.reconcile import whoami\n"
        "print(whoami().split('@')[0], pathlib.Path.home(), getpass.getuser())"
    )
    done = python(program, before=AS_NOBODY, **variables)
    assert done.stdout.decode().split() == [user, home, user], done.stderr.decode()
