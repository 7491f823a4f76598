"""A package index on this machine, and archives for it, whole or of any odd shape."""

import hashlib
import http.server
import io
import json
import tarfile
import zipfile

JSON = "application/vnd.pypi.simple.v1+json"
CODE = b"import machine\nprint(machine.freq())\n"


# --- archives ---------------------------------------------------------------------------------------------------------


def member(name, content=CODE, kind=tarfile.REGTYPE, link="", **more):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(content or b"")
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def targz(*members, form=tarfile.PAX_FORMAT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=form) as tar:
        for info, content in members:
            tar.addfile(info, None if content is None else io.BytesIO(content))
    return packed.getvalue()


def zipped(*members, method=zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


# --- a package index --------------------------------------------------------------------------------------------------


class Index(http.server.ThreadingHTTPServer):
    """A package index (PEP 503 and 691): `files` maps project -> {file name: (content served, sha256 offered)}.

    `asked` lists the paths asked for, `pages` holds other answers for a project's page, `status` is that of every answer.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.asked, self.pages, self.status, self.html = {}, [], {}, 200, True
        self.url = f"http://127.0.0.1:{self.server_port}/simple"

    def add(self, name: str, content: bytes, version="1.0", ending=".tar.gz", offered=None) -> str:
        digest = hashlib.sha256(content).hexdigest()
        self.files.setdefault(name, {})[f"{name}-{version}{ending}"] = (content, offered or digest)
        return digest


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        index = self.server
        index.asked.append(self.path)
        _, folder, project, file = (self.path + "/").split("/")[:4]
        status, kind, body = index.status, "text/html", b""
        listed = [
            (name, f"/files/{project}/{name}", digest) for name, (_, digest) in index.files.get(project, {}).items()
        ]
        if project not in index.files:
            status = 404
        elif folder == "simple" and project in index.pages:
            kind, body = index.pages[project]
        elif folder == "simple" and index.html:
            body = "".join(f'<a href="{link}#sha256={digest}">{file}</a>' for file, link, digest in listed).encode()
        elif folder == "simple":
            kind = JSON
            body = json.dumps(
                {
                    "meta": {"api-version": "1.0"},
                    "name": project,
                    "files": [
                        {"filename": file, "url": link, "hashes": {"sha256": digest}} for file, link, digest in listed
                    ],
                }
            ).encode()
        else:
            kind, body = "application/octet-stream", index.files[project][file][0]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass
