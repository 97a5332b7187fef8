"""Servers on loopback for integration tests; every one is stopped when its test or module ends."""
import hashlib
import http.client
import http.server
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = os.path.join(HERE, "..", "servers", "registry.py")

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def sha(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """The misbehaving one."""

    def __init__(self, cert=None, key=None):
        args = [sys.executable, SERVER] + (["--cert", cert, "--key", key] if cert else [])
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port, self.cdn_port = (int(word) for word in self.process.stdout.readline().split())
        self.host = "127.0.0.1:%d" % self.port
        self.tls = bool(cert)

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()

    def call(self, method, path, body=None, headers=None):
        if self.tls:
            link = http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl._create_unverified_context())
        else:
            link = http.client.HTTPConnection("127.0.0.1", self.port)
        link.request(method, path, body, headers or {})
        answer = link.getresponse()
        data = answer.read()
        link.close()
        return answer, data

    def config(self, **options):
        self.call("PUT", "/_config", json.dumps(options))

    def reset(self):
        self.call("POST", "/_reset")

    def rule(self, **rule):
        self.call("POST", "/_rule", json.dumps(rule))

    def copy(self, source, to):
        self.call("POST", "/_copy", json.dumps({"from": source, "to": to}))

    def forget(self, repository, what):
        self.call("POST", "/_forget", json.dumps({"repository": repository, "what": what}))

    def flip(self, repository, what):
        self.call("POST", "/_flip", json.dumps({"repository": repository, "what": what}))

    def log(self, where=None):
        entries = json.loads(self.call("GET", "/_log")[1])
        return [entry for entry in entries if where in (None, entry["where"])]

    def lines(self):
        return ["%s %s" % (entry["method"], entry["path"]) for entry in self.log()]

    def count(self, method, path):
        return sum(1 for entry in self.log() if entry["method"] == method and entry["path"] == path)

    # Contents are put in while the options are harmless.
    def add_manifest(self, repository, tag, data=None):
        data = data or ('{"schemaVersion":2,"mediaType":"%s","note":"%s"}' % (MANIFEST, tag)).encode()
        self.call("PUT", "/v2/%s/manifests/%s" % (repository, tag), data, {"Content-Type": MANIFEST})
        return sha(data)

    def add_blob(self, repository, data):
        answer, _ = self.call("POST", "/v2/%s/blobs/uploads/" % repository, b"")
        location = answer.headers["Location"]
        path = location[location.index("/v2/"):]
        answer, text = self.call("PUT", "%s&digest=%s" % (path, sha(data)), data)
        assert answer.status == 201, text
        return sha(data)


@pytest.fixture(scope="module")
def one_registry():
    registry = Registry()
    yield registry
    registry.stop()


@pytest.fixture(scope="module")
def other_registry():
    registry = Registry()
    yield registry
    registry.stop()


@pytest.fixture
def registry(one_registry):
    one_registry.reset()
    return one_registry


@pytest.fixture
def mirror(other_registry):
    other_registry.reset()
    return other_registry


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class CuttingProxy:
    """Passes bytes to a port of this machine, and cuts the first connection that has sent more than so many; or, mute, takes no more."""

    def __init__(self, port, cut_at, mute=False):
        self.target, self.cut_at, self.cuts, self.mute, self.kept = port, cut_at, 0, mute, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.pump, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(far, near, False), daemon=True).start()
            del near, far  # the last one to hold them closes them

    def pump(self, source, sink, counted):
        sent = 0
        try:
            while True:
                data = source.recv(65536)
                sent += len(data)
                if not data or (counted and self.cuts == 0 and sent > self.cut_at):
                    break
                sink.sendall(data)
            if data:
                self.cuts += 1
        except OSError:
            pass
        if self.mute and self.cuts == 1 and counted and data:
            self.kept.append(source)
            return
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.close()
        for one in self.kept:
            one.close()


class LimitingProxy:
    """Passes requests to a port of this machine, but none with a body larger than so much: as nginx, it answers 413 at once and lets the rest come."""

    def __init__(self, port, limit):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def pass_on(self):
                length = int(self.headers.get("Content-Length") or 0)
                if length > limit:
                    outer.refused += 1
                    self.send_response(413)
                    self.send_header("Content-Length", "0")
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.wfile.flush()
                    while length > 0 and (data := self.rfile.read(min(length, 65536))):
                        length -= len(data)
                    return
                link = http.client.HTTPConnection("127.0.0.1", port)
                link.request(self.command, self.path, self.rfile.read(length), dict(self.headers.items()))
                answer = link.getresponse()
                data = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                link.close()

            do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = pass_on

        self.refused = 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = "127.0.0.1:%d" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A private CA, a server certificate for 127.0.0.1 and a client certificate."""
    where = tmp_path_factory.mktemp("ca")

    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=where, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-days", "2", "-subj", "/CN=ix test CA", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key", "-out", "server.csr",
            "-subj", "/CN=registry")
    (where / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext",
            "-out", "server.pem")
    return where


class DockerRegistry:
    """Debian's docker-registry (distribution 2.8)."""

    def __init__(self, where, certificates=None, htpasswd=None):
        self.port = free_port()
        self.host = "127.0.0.1:%d" % self.port
        config = ["version: 0.1", "log: {level: error, accesslog: {disabled: true}}",
                  "storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}" % (where / "data"),
                  "http:", "  addr: 127.0.0.1:%d" % self.port]
        if certificates:
            config += ["  tls: {certificate: %s, key: %s}" % (certificates / "server.pem", certificates / "server.key")]
        if htpasswd:
            config += ["auth: {htpasswd: {realm: test, path: %s}}" % htpasswd]
        (where / "config.yml").write_text("\n".join(config) + "\n")
        self.process = subprocess.Popen(["docker-registry", "serve", str(where / "config.yml")], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("docker-registry does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


@pytest.fixture
def docker_registry(tmp_path):
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    started = []

    def start(**options):
        where = tmp_path / ("registry%d" % len(started))
        where.mkdir()
        started.append(DockerRegistry(where, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the files, and the tests within each, in a random order")


def pytest_configure(config):
    config.addinivalue_line("markers", "threads: much happens at once; run under ThreadSanitizer too (tools/threads)")


def pytest_collection_modifyitems(config, items):
    seed = config.getoption("--shuffle")
    if seed is None:
        return
    rng = random.Random(seed)
    files = {}
    for item in items:
        files.setdefault(item.nodeid.split("::")[0], []).append(item)
    order = sorted(files)
    rng.shuffle(order)
    for name in order:
        rng.shuffle(files[name])
    items[:] = [item for name in order for item in files[name]]
