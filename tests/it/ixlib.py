"""The program under test, driven as a user would: its own store, its own configuration, a real registry."""

import atexit
import contextlib
import functools
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.request

IX = os.environ.get("IX", str(pathlib.Path(__file__).parents[2] / "build/ix"))
BUSYBOX = "/bin/busybox"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Result:
    def __init__(self, process):
        self.status = process.returncode
        self.out = process.stdout.decode("utf-8", "replace")
        self.err = process.stderr.decode("utf-8", "replace")
        self.raw = process.stdout

    def lines(self):
        return self.out.splitlines()

    def __repr__(self):
        return f"status {self.status}\n--- out\n{self.out}\n--- err\n{self.err}"


class Machine:
    """One builder: a store and a configuration of its own."""

    def __init__(self, root, mirrors=None, env=None):
        self.root = pathlib.Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self.store = self.root / "store"
        self.config = self.root / "config.yaml"
        self.config.write_text("" if not mirrors else f"mirrors: {{ docker.io: ['{mirrors}'] }}\n")
        self.env = dict(os.environ, HOME=str(self.root), **(env or {}))
        for name in ("IX_STORE", "IX_FAULT", "DOCKER_CONFIG"):
            if name not in (env or {}):
                self.env.pop(name, None)

    def ix(self, *words, cwd=None, input=None, env=None, check=True, timeout=300):
        command = [IX, words[0], "--store", str(self.store), "--config", str(self.config), *map(str, words[1:])]
        process = subprocess.run(command, cwd=cwd, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 env=dict(self.env, **(env or {})), timeout=timeout)
        result = Result(process)
        if check:
            assert result.status == 0, result
        return result

    def ix_plain(self, *words, check=True):
        """A command that takes neither store nor configuration."""
        result = Result(subprocess.run([IX, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env))
        if check:
            assert result.status == 0, result
        return result

    def build(self, directory, *words, **options):
        return self.ix("build", "--progress", "plain", *words, directory, **options)

    def failure(self, *words, **options):
        result = self.ix(*words, check=False, **options)
        assert result.status not in (0, 101) and "AddressSanitizer" not in result.err, result
        return result

    def root_tar(self, directory, *words, **options):
        """The root file system of the built image, by name."""
        out = self.root / "root.tar"
        self.ix("build", "-q", "-o", f"type=tar,dest={out}", *words, directory, **options)
        return tarfile.open(out)

    def image_config(self, name):
        return json.loads(self.ix("inspect", name).out)["config"]


def make_base(machine, directory):
    """A base image of one static program: busybox with its links, passwd and group."""
    root = pathlib.Path(directory) / "root"
    for name in ("bin", "etc", "tmp", "root", "home/app", "usr/share/data"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for applet in subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, check=True, text=True).stdout.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "lib").symlink_to("usr/share")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\napp:x:1001:\nwheel:x:10:app\n")
    (root / "tmp").chmod(0o1777)
    tar = pathlib.Path(directory) / "base.tar"

    def plain(info):
        info.uid = info.gid = 1000 if info.name == "./home/app" else 0
        info.mtime = 1700000000
        return info

    with tarfile.open(tar, "w") as archive:
        archive.add(root, ".", filter=plain)
    if os.environ.get("IX_TEST_WAY") == "registry":
        machine.config.write_text(f"mirrors: {{ docker.io: ['{base_registry(tar)}'] }}\n")
    else:
        machine.ix("import", tar, "busybox:test")
    return tar


@functools.cache
def base_registry(tar):
    """Where the base image is when it is in no store: IX_TEST_WAY=registry. It lives as long as the tests do."""
    where = pathlib.Path(tempfile.mkdtemp(prefix="ix-base-"))
    server = registry(where / "registry")
    host = server.__enter__()
    atexit.register(shutil.rmtree, where, True)
    atexit.register(server.__exit__, None, None, None)
    maker = Machine(where / "maker")
    maker.ix("import", tar, "busybox:test")
    maker.ix("push", "busybox:test", f"{host}/library/busybox:test")
    return host


def running(*words):
    """Processes of this machine with these words in their command line."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = path.read_bytes().split(b"\0")
            if all(word.encode() in line for word in words):
                found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def registry(directory, auth=None, tls=None):
    """Debian's docker-registry on a free port of the loopback interface."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}\n"
    config += f"http:\n  addr: 127.0.0.1:{port}\n"
    if tls:
        config += f"  tls: {{certificate: {tls[0]}, key: {tls[1]}}}\n"
    if auth:
        config += f"auth: {{htpasswd: {{realm: test, path: {auth}}}}}\n"
    (directory / "config.yml").write_text(config)
    with open(directory / "log", "wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(directory / "config.yml")], stdout=log, stderr=log)
    try:
        wait_for_port(port)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for_port(port, seconds=20):
    end = time.monotonic() + seconds
    while True:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < end, f"nothing listens on {port}"
        time.sleep(0.05)


def tags(host, repository):
    with urllib.request.urlopen(f"http://{host}/v2/{repository}/tags/list") as reply:
        return json.load(reply)["tags"] or []


OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def _manifest_reply(host, repository, reference):
    request = urllib.request.Request(f"http://{host}/v2/{repository}/manifests/{reference}", headers={"Accept": OCI_MANIFEST})
    return urllib.request.urlopen(request)


def manifest(host, repository, reference):
    with _manifest_reply(host, repository, reference) as reply:
        return json.load(reply)


def manifest_digest(host, repository, reference):
    with _manifest_reply(host, repository, reference) as reply:
        return reply.headers["Docker-Content-Digest"]


def put_manifest(host, repository, reference, document, media_type=OCI_MANIFEST):
    request = urllib.request.Request(f"http://{host}/v2/{repository}/manifests/{reference}", json.dumps(document).encode(), method="PUT",
                                     headers={"Content-Type": media_type})
    urllib.request.urlopen(request).close()


def put_blob(host, repository, data):
    """Its digest."""
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    with urllib.request.urlopen(urllib.request.Request(f"http://{host}/v2/{repository}/blobs/uploads/", b"", method="POST")) as reply:
        location = reply.headers["Location"]
    location = location if location.startswith("http") else f"http://{host}{location}"
    urllib.request.urlopen(urllib.request.Request(f"{location}{'&' if '?' in location else '?'}digest={digest}", data, method="PUT",
                                                  headers={"Content-Type": "application/octet-stream"})).close()
    return digest


def push_image(host, repository, config, tars, tag="latest", media_type=OCI_MANIFEST, change=None, answer="name"):
    """An image written by hand: its config's other members, its layers' tars. Its name, or its manifest."""
    docker = "docker" in media_type
    layers = [gzip.compress(tar, mtime=0) for tar in tars]
    config = dict({"rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest() for tar in tars]}}, **config)
    body = json.dumps(config).encode()
    document = {"schemaVersion": 2, "mediaType": media_type,
                "config": {"mediaType": "application/vnd.docker.container.image.v1+json" if docker else "application/vnd.oci.image.config.v1+json",
                           "digest": put_blob(host, repository, body), "size": len(body)},
                "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip" if docker else "application/vnd.oci.image.layer.v1.tar+gzip",
                            "digest": put_blob(host, repository, layer), "size": len(layer)} for layer in layers]}
    if change:
        change(document)
    put_manifest(host, repository, tag, document, media_type)
    return f"{host}/{repository}:{tag}" if answer == "name" else document


def write(directory, **files):
    directory = pathlib.Path(directory)
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def dockerfile(directory, text, **files):
    return write(directory, Dockerfile=text, **files)


def members(tar):
    return {m.name.rstrip("/"): m for m in tar.getmembers()}


def text(tar, name):
    return tar.extractfile(name).read().decode()
