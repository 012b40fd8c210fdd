"""A hub small enough to read: one commit, the real one's headers and redirects, and the ways in which it can fail."""

import hashlib
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LARGE = 1000  # bytes above which the stand-in treats a file as the hub treats its large ones
BLOCK = 1 << 20


@dataclass
class Hub:
    """A hub of one commit: hashes in headers, large files behind a redirect to another server, ranges honoured."""

    files: dict[str, bytes]
    commit: str
    sent: list[tuple[str, str | None]] = field(default_factory=list)  # (file, Range header) of every GET
    says: dict[str, bytes] = field(default_factory=dict)  # other bytes than the headers speak of
    stall_after: int | None = None  # bytes of a large file after which the line goes dead
    records_hashes: bool = True
    moved: bool = False  # the repository has another name now: 307 to an address without a host
    trouble: dict[str, list] = field(default_factory=dict)  # file -> status codes or "stall", "garbage", each once
    trouble_at_cdn: dict[str, list] = field(default_factory=dict)
    retry_after: str | None = None  # header beside 429 and 503
    states_sizes: bool = True  # of small files, in answer to HEAD
    gate: threading.Event | None = None  # large files are sent once it is set
    hashes: dict[bytes, str] = field(default_factory=dict)  # computed once: the real hub does not hash while it answers
    url: str = ""
    cdn: str = ""

    def etag(self, name: str) -> str:
        data = self.files[name]
        if not self.records_hashes:
            return "W/whatever"
        if data not in self.hashes:
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            self.hashes[data] = hashlib.sha256(data).hexdigest() if len(data) > LARGE else blob
        return self.hashes[data]


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers for the hub that a subclass names, as the real one does."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool):
        kind, _, name = self.path.rpartition("/")
        at_cdn = kind == "/cdn"
        if trouble := (self.hub.trouble_at_cdn if at_cdn else self.hub.trouble).get(name):
            return self.misbehave(trouble.pop(0))
        if self.hub.moved and not at_cdn and not kind.startswith("/new"):
            return self.reply(307, {"Location": f"/new{self.path}"})
        if name not in self.hub.files:
            return self.reply(404, {"X-Error-Code": "EntryNotFound"})
        data, etag = self.hub.files[name], self.hub.etag(name)
        headers = {"X-Repo-Commit": self.hub.commit, "ETag": f'"{etag}"'}
        if at_cdn:
            return self.content(name, self.hub.says.get(name, data))
        if len(data) > LARGE:
            linked = {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(data))}
            xet = {"X-Xet-Hash": etag, "Link": f'<{self.hub.url}/api/xet-read-token>; rel="xet-auth"'}
            return self.reply(302, headers | linked | xet | {"Location": f"{self.hub.cdn}/cdn/{name}"})
        if body:
            return self.content(name, self.hub.says.get(name, data), headers)
        size = {"Content-Length": str(len(data))} if self.hub.states_sizes else {}
        return self.reply(200, headers | size, length=False)

    def misbehave(self, how):
        self.close_connection = True
        if how == "stall":
            time.sleep(2)
        elif how == "garbage":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        else:
            header = {"Retry-After": self.hub.retry_after} if self.hub.retry_after else {}
            self.reply(how, header | {"Connection": "close"})

    def content(self, name: str, data: bytes, headers=()):
        span = self.headers.get("Range")
        self.hub.sent.append((name, span))
        start = int(span.removeprefix("bytes=").rstrip("-")) if span else 0
        status = 206 if span else 200
        total = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if span else {}
        self.reply(status, dict(headers) | total | {"Content-Length": str(len(data) - start)}, length=False)
        end = self.hub.stall_after if self.hub.stall_after is not None and len(data) > LARGE else len(data)
        if self.hub.gate is not None and len(data) > LARGE:
            self.hub.gate.wait(60)
        for at in range(start, end, BLOCK):
            self.wfile.write(data[at : min(at + BLOCK, end)])
        if end < len(data):
            self.wfile.flush()
            time.sleep(60)

    def reply(self, status: int, headers: dict[str, str], length: bool = True):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if length:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self):
        try:
            super().handle()
        except ConnectionError:  # a client that has heard enough
            self.close_connection = True


def handler(hub: Hub) -> type[Handler]:
    return type("HandlerOfOne", (Handler,), {"hub": hub})


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """Serve the hub on two ports of this machine: one for itself, one for its large files."""
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(hub)) for _ in range(2)]
    for server in servers:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    hub.url, hub.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
