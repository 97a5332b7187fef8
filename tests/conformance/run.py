#!/usr/bin/env python3
"""Conformance with docker's reading of Dockerfiles: each case is built, and the image's config, history and files are compared.

A case file holds cases; a case begins with a line "=== what it shows" and has sections that begin with "--- ":

    --- flags --build-arg A=1       options for the build; @CTX is the context, @env:NAME=VALUE sets a variable of the builder,
                                    @stdin builds from the context's file "stdin"
    --- Dockerfile                  the file to build (or: --- Dockerfile other.Dockerfile)
    --- file PATH [MODE]            a file of the context
    --- dir PATH [MODE]             a directory
    --- link PATH TARGET            a symbolic link
    --- setup                       a shell script, run in the context
    --- serve PATH                  a file that is served by HTTP; @HTTP in the Dockerfile and the flags is where
    --- call check|outline|targets  nothing is built: what --call says is compared, of checks the rules and lines
    --- only ix: WHY                docker is not asked: what the engine used for recording does not know
    --- needs root: WHY             skipped for ordinary users
    --- differs: WHY                ix means to differ; docker's expectation is kept, what ix makes stands under "--- expect ix"
    --- expect                      what docker made: files, config and history, or an error

usage: run.py [--ix PROGRAM] [--docker COMMAND] [--record] [--way shared|empty|user]... [CASE-FILE | NAME-PART]...

With --docker both are built and compared with each other and with the record; with --record the record is written from docker (from ix where
docker is not asked). Without docker ix is compared with the record. The last line is "N passed, N failed, N skipped".
The ways: all cases in one store that holds the base image (the default); each in an empty store of its own, with the base in a registry only;
as an ordinary user with subordinate ids.
"""

import argparse
import concurrent.futures
import difflib
import http.server
import hashlib
import io
import json
import os
import pathlib
import pwd
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
BASE_LINKS = ("sh cat echo ls mkdir touch ln chmod chown env id pwd test true false printf grep stat rm mv cp find sort readlink "
              "sed head tail wc tr cut umask sleep kill mknod awk dd truncate sha256sum tar gzip").split()
PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
GROUP = "root:x:0:\napp:x:1001:\nstaff:x:50:app\nnogroup:x:65534:\n"
NOT_FILES = ("dev", "proc", "sys", "etc/resolv.conf", "etc/hosts", "etc/hostname")  # engines leave mount points behind


class Case:
    def __init__(self, path, name):
        self.path, self.name = path, name
        self.sections = []  # [header, text]

    def get(self, kind):
        return [(h[len(kind):].lstrip(":").strip(), t) for h, t in self.sections if h == kind or h.startswith(kind + " ") or h.startswith(kind + ":")]

    def text(self, kind):
        found = [t for h, t in self.sections if h == kind]
        return found[0] if found else None

    def set(self, kind, text):
        for section in self.sections:
            if section[0] == kind:
                section[1] = text
                return
        self.sections.append([kind, text])

    @property
    def only_ix(self):
        return bool(self.get("only ix"))

    @property
    def differs(self):
        return bool(self.get("differs"))


def parse(path):
    lead, cases, current = [], [], None
    for line in re.split(r"(?<=\n)", path.read_bytes().decode()):
        if line.startswith("=== "):
            cases.append(Case(path, line[4:].strip()))
            current = None
        elif line.startswith("--- ") and cases:
            current = [line[4:].rstrip("\n"), ""]
            cases[-1].sections.append(current)
        elif current:
            current[1] += line
        elif not cases:
            lead.append(line)
    for case in cases:
        for section in case.sections:
            section[1] = re.sub(r"\n\n+\Z", "\n", section[1])
    return "".join(lead), cases


def write(path, lead, cases):
    out = lead
    for case in cases:
        out += f"=== {case.name}\n"
        for header, text in case.sections:
            out += f"--- {header}\n{text}"
            if text and not text.endswith("\n"):
                out += "\n"
        out += "\n"
    path.write_bytes((out.rstrip("\n") + "\n").encode())


def make_context(case, root, url=""):
    root.mkdir()
    os.chmod(root, 0o755)
    for header, text in case.sections:
        words = shlex.split(header) if header.split(" ")[0] in ("file", "dir", "link") else header.split()
        if words[0] not in ("file", "dir", "link", "Dockerfile", "setup"):
            continue
        target = root / (words[1] if len(words) > 1 else "Dockerfile")
        missing = [p for p in target.parents if not p.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        for parent in missing:
            os.chmod(parent, 0o755)
        if words[0] == "file" or words[0] == "Dockerfile":
            target.write_bytes((text.replace("@HTTP", url) if words[0] == "Dockerfile" else text).encode())
            os.chmod(target, int(words[2], 8) if len(words) > 2 else 0o644)
        elif words[0] == "dir":
            target.mkdir(exist_ok=True)
            os.chmod(target, int(words[2], 8) if len(words) > 2 else 0o755)
        elif words[0] == "link":
            target.symlink_to(words[2])
        else:
            subprocess.run(["/bin/sh", "-euc", text], cwd=root, check=True)


class Server(http.server.ThreadingHTTPServer):
    """The files of a case by HTTP, each with one time."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = self.server.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body or b"")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    def __init__(self, case):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.files = {"/" + h: t.encode() for h, t in case.get("serve")}
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


# --- what an image is ---

def entries_of(tar):
    for member in tar:
        path = member.name.strip("/")
        path = path[2:] if path.startswith("./") else path
        if path in ("", "."):
            continue
        yield path, member


def describe(tar, member):
    kind = {tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l", tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b", tarfile.FIFOTYPE: "p"}.get(member.type, "f")
    entry = {"kind": kind, "mode": member.mode & 0o7777, "owner": (member.uid, member.gid), "extra": ""}
    if kind == "f":
        data = tar.extractfile(member)
        digest, size, head = hashlib.sha256(), 0, b""
        while chunk := data.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
            head = head or chunk
        if size <= 200 and re.fullmatch(rb"[\t\n -~]*", head):
            entry["extra"] = json.dumps(head.decode())
        else:
            entry["extra"] = f"{size} bytes sha256:{digest.hexdigest()[:16]}"
    elif kind == "l":
        entry["mode"] = 0o777
        entry["extra"] = "-> " + member.linkname
    elif kind in "cb":
        entry["extra"] = f"{member.devmajor},{member.devminor}"
    xattrs = sorted((k[13:], v) for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr."))
    for name, value in xattrs:
        entry["extra"] += f" {name}={value.encode('utf-8', 'surrogateescape').hex()}"
    return entry


def apply_layer(tree, tar):
    added = {}
    removed, opaque = [], []
    for path, member in entries_of(tar):
        parent, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            opaque.append(parent)
        elif name.startswith(".wh."):
            removed.append((parent + "/" if parent else "") + name[4:])
        elif member.islnk():
            target = member.linkname.strip("/")
            target = target[2:] if target.startswith("./") else target
            entry = dict(added.get(target) or tree.get(target) or {"kind": "?", "mode": 0, "owner": (0, 0), "extra": ""})
            entry["hard"] = target
            added[path] = entry
        else:
            added[path] = describe(tar, member)
    for path in opaque:
        for old in [p for p in tree if p.startswith(path + "/")]:
            del tree[old]
    for path in removed:
        for old in [p for p in tree if p == path or p.startswith(path + "/")]:
            del tree[old]
    for path, entry in added.items():
        if entry["kind"] != "d":
            for old in [p for p in tree if p.startswith(path + "/")]:
                del tree[old]
        tree[path] = entry


def blob(tar, digest):
    return tar.extractfile("blobs/" + digest.replace(":", "/")).read()


def read_image(archive):
    """(config, tree of path -> entry) of an OCI or docker archive."""
    with tarfile.open(archive) as tar:
        index = json.loads(tar.extractfile("index.json").read())
        manifest = json.loads(blob(tar, index["manifests"][0]["digest"]))
        config = json.loads(blob(tar, manifest["config"]["digest"]))
        tree = {}
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(tar, layer["digest"])), errorlevel=2, encoding="utf-8", errors="surrogateescape") as inner:
                apply_layer(tree, inner)
    return config, tree


def show(config, tree, base):
    lines = []
    inherited = {h.get("created_by", "") for h in base["history"]}
    for key in sorted(config.get("config") or {}):
        value = config["config"][key]
        if value in (None, "", [], {}, False):
            continue
        lines.append(f"{key}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}")
    if config.get("author"):
        lines.append(f"author: {config['author']}")
    if config.get("architecture") != "amd64" or config.get("os") != "linux":
        lines.append(f"platform: {config.get('os')}/{config.get('architecture')}{'/' + config['variant'] if config.get('variant') else ''}")
    for entry in config.get("history") or []:
        text = entry.get("created_by", "")
        if text not in inherited:
            lines.append(f"history{' (empty)' if entry.get('empty_layer') else ''}: {json.dumps(text, ensure_ascii=False)}")
    hard = {}
    for path in sorted(tree, key=lambda p: p.split("/")):
        if path.startswith(NOT_FILES) and not path.startswith(tuple(n + "-" for n in NOT_FILES)) or base["tree"].get(path) == tree[path]:
            continue
        entry = tree[path]
        shown = path if re.fullmatch(r"[!-~]+( [!-~]+)*", path) else json.dumps(path)
        extra = entry["extra"]
        if "hard" in entry:
            extra = f"= {hard.setdefault(entry['hard'], entry['hard'])}"
        lines.append(f"{entry['kind']} {entry['mode']:o} {entry['owner'][0]}:{entry['owner'][1]} {shown}" + (f" {extra}" if extra else ""))
    for path in sorted(set(base["tree"]) - set(tree)):
        if base["stands"] and not path.startswith(NOT_FILES):
            lines.append(f"gone {path}")
    return "".join(line + "\n" for line in lines)


# --- builders ---

class Builder:
    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "SOURCE_DATE_EPOCH"}
        self.base = {"tree": {}, "history": [], "stands": False}

    def run(self, command, **options):
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env, timeout=300, **options)

    def learn_base(self, archive):
        config, tree = read_image(archive)
        self.base = {"tree": tree, "history": config.get("history") or [], "stands": True}

    def build(self, case, context, number, url=""):
        text = self.build_case(case, context, number, url)
        return text.replace(url, "@HTTP") if url else text

    def build_case(self, case, context, number, url):
        words = [w for flags, _ in case.get("flags") for w in shlex.split(flags)]
        archive = self.work / f"{type(self).__name__}-{number}.tar"
        env = dict(w[5:].split("=", 1) for w in words if w.startswith("@env:"))
        words = [w for w in words if not w.startswith("@env:")]
        path = str(context)
        if "@stdin" in words:
            words.remove("@stdin")
            path, data = "-", (context / "stdin").read_bytes()
        else:
            data = None
        words = [w.replace("@CTX", str(context)).replace("@HTTP", url) for w in words]
        if case.get("call"):
            return self.call(case.get("call")[0][0], words, path, data, dict(self.env, **env))
        status, output = self.make(words, path, archive, data, dict(self.env, **env))
        if status != 0:
            text = output.decode("utf-8", "replace")
            line = self.line(text)
            return f"error{f' (line {line})' if line else ''}: {self.message(text)}\n"
        config, tree = read_image(archive)
        archive.unlink()
        # What is there from the base image is left out where the stage was built on it.
        stands = self.base["stands"] and "bin/busybox" in tree
        base = self.base if stands else {"tree": {}, "history": [], "stands": False}
        return show(config, tree, base)

    def call(self, what, words, path, data, env):
        result = subprocess.run([*self.call_words(env), "--call", what + ",format=json", *words, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env=env, input=data, timeout=300)
        try:
            said = json.loads(result.stdout)
        except ValueError:
            text = (result.stdout + result.stderr).decode("utf-8", "replace")
            if b"Sanitizer" in result.stderr or result.returncode not in (0, 1, 2):
                return "error: CRASHED " + text
            line = self.line(text)
            return f"error{f' (line {line})' if line else ''}: {self.message(text)}\n"
        return "".join(sorted(f"{line}\n" for line in called(what, said))) or "nothing\n"


def first_line(location):
    ranges = (location or {}).get("ranges") or [{}]
    return (ranges[0].get("start") or {}).get("line", 0)


def called(what, said):
    """What --call said, as lines."""
    if what == "check":
        error = said.get("buildError")
        if error:
            yield f"refused (line {first_line(error.get('location'))})"
        for warning in said.get("warnings") or []:
            yield f"line {first_line(warning.get('location')):3}: {warning['ruleName']}"
    elif what == "targets":
        for target in said.get("targets") or []:
            yield f"line {first_line(target.get('location')):3}: " + " ".join(str(target.get(k, "")) for k in ("name", "base", "platform", "default", "description"))
    else:
        for kind in ("args", "secrets", "ssh"):
            for item in said.get(kind) or []:
                yield f"{kind} line {first_line(item.get('location')):3}: " + json.dumps({k: v for k, v in sorted(item.items()) if k != "location"})
        yield f"target {said.get('name', '')}: {said.get('description', '')}"


class Ix(Builder):
    """One store for all cases."""
    root = os.geteuid() == 0

    def __init__(self, work, program):
        super().__init__(work)
        self.words = [program]
        (self.work / "config.yaml").write_text("")
        self.env.update(HOME=str(self.work), IX_CHECK_LAYERS="1")

    def common(self, store):
        return ["--store", str(self.work / store), "--config", str(self.work / "config.yaml")]

    def ix(self, command, *words, store="store"):
        result = self.run([*self.words, command, *self.common(store), *map(str, words)])
        assert result.returncode == 0, result.stdout.decode()

    def setup(self, rootfs):
        self.ix("import", rootfs, "base")
        archive = self.work / "base.tar"
        self.ix("export", "--type", "oci", "-o", archive, "base")
        self.learn_base(archive)
        archive.unlink()

    def close(self):
        self.run([*self.words, "rm", *self.common("store"), "--everything"])

    def call_words(self, env):
        return [*self.words, "build", *self.common("store")]

    def build_in(self, store, words, path, archive, data, env):
        command = [*self.words, "build", *self.common(store), "--no-cache", "--progress", "plain", "-o", f"type=oci,dest={archive}", *words, path]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, input=data, timeout=300)
        if result.returncode not in (0, 1, 2) or b"Sanitizer" in result.stdout or b"runtime error:" in result.stdout:
            return 99, b"ix: CRASHED " + result.stdout
        return result.returncode, result.stdout

    def make(self, words, path, archive, data, env):
        return self.build_in("store", words, path, archive, data, env)

    def message(self, output):
        lines = [line for line in output.splitlines() if line.startswith("ix: ")]
        return lines[-1][4:] if lines else output[-2000:]

    def line(self, output):
        found = re.search(r"(?m)^ix: (?:stage '[^']*': )?[^\s:]+:(\d+):\d+: ", output)
        return found and found[1]


class EmptyIx(Ix):
    """An empty store for each case, and the base in a registry only."""

    def setup(self, rootfs):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            host = f"127.0.0.1:{one.getsockname()[1]}"
        (self.work / "registry.yml").write_text(f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
                                                f"storage: {{filesystem: {{rootdirectory: {self.work}/registry}}}}\nhttp:\n  addr: {host}\n")
        self.registry = subprocess.Popen(["docker-registry", "serve", str(self.work / "registry.yml")], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", int(host.rpartition(":")[2]))) == 0:
                    break
            time.sleep(0.05)
        super().setup(rootfs)
        self.ix("push", "base", f"{host}/library/base:latest")
        self.ix("rm", "--everything")
        (self.work / "config.yaml").write_text(f"mirrors: {{ docker.io: ['{host}'] }}\n")

    def close(self):
        self.registry.terminate()
        self.registry.wait()

    def make(self, words, path, archive, data, env):
        store = f"store-{archive.stem}"
        try:
            return self.build_in(store, words, path, archive, data, env)
        finally:
            self.run([*self.words, "rm", *self.common(store), "--everything"])


class UserIx(Ix):
    """As an ordinary user with subordinate ids, made when the cases run as root."""
    NAME = "ixtest"
    root = False

    def __init__(self, work, program):
        super().__init__(work, program)
        if os.geteuid() != 0:
            return
        try:
            pwd.getpwnam(self.NAME)
        except KeyError:
            subprocess.run(["useradd", "-m", self.NAME], check=True)
        shutil.copy(program, self.work / "ix")
        os.chmod(self.work / "ix", 0o755)
        os.chmod(self.work, 0o755)
        (self.work / "home").mkdir()
        shutil.chown(self.work / "home", self.NAME, self.NAME)
        self.env["HOME"] = str(self.work / "home")
        self.words = ["setpriv", f"--reuid={self.NAME}", f"--regid={self.NAME}", "--init-groups", "--", str(self.work / "ix")]

    def common(self, store):
        return super().common(f"home/{store}" if os.geteuid() == 0 else store)

    def setup(self, rootfs):
        os.chmod(rootfs, 0o644)
        shutil.chown(self.work, self.NAME if os.geteuid() == 0 else None)
        super().setup(rootfs)

    def give(self, path):
        """To the user, with the bits that a change of owner clears."""
        mode = path.lstat().st_mode
        user = pwd.getpwnam(self.NAME)
        os.lchown(path, user.pw_uid, user.pw_gid)
        if mode & 0o7000 and not stat.S_ISLNK(mode):
            os.chmod(path, stat.S_IMODE(mode))

    def build(self, case, context, number, url=""):
        # What the user has checked out is the user's own.
        os.chmod(context.parent, 0o755)
        if os.geteuid() == 0:
            self.give(context)
            for path in context.rglob("*"):
                self.give(path)
        return super().build(case, context, number, url)


WAYS = {"shared": Ix, "empty": EmptyIx, "user": UserIx}


class Docker(Builder):
    def __init__(self, work, command):
        super().__init__(work)
        self.words = shlex.split(command)

    def version(self):
        result = self.run([*self.words, "version", "-f", "{{.Server.Version}}"])
        return result.stdout.decode().strip() if result.returncode == 0 else None

    def setup(self, rootfs):
        with open(rootfs, "rb") as f:
            result = self.run([*self.words, "import", "-c", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "-", "base"], stdin=f)
        assert result.returncode == 0, result.stdout.decode()
        archive = self.work / "base.tar"
        assert self.run([*self.words, "save", "-o", str(archive), "base"]).returncode == 0
        self.learn_base(archive)
        archive.unlink()

    def make(self, words, path, archive, data, env):
        tag = f"ixconf:{archive.stem.lower()}"
        command = ["env", *[f"{k}={env[k]}" for k in env if k not in os.environ], *self.words, "build", "--no-cache", "--progress", "plain", "--network", "host", "-t", tag, *words, path]
        if any(w.startswith("--network") for w in words):
            command.remove("--network"), command.remove("host")
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, input=data, timeout=300)
        if result.returncode == 0:
            saved = self.run([*self.words, "save", "-o", str(archive), tag])
            if b"empty export" in saved.stdout:  # an image without layers: what can be asked about it is written as an archive
                self.write_archive(tag, archive)
            else:
                assert saved.returncode == 0, saved.stdout.decode()
            self.run([*self.words, "rmi", "-f", tag])
        return result.returncode, result.stdout

    def call_words(self, env):
        return ["env", *[f"{k}={env[k]}" for k in env if k not in os.environ], *self.words, "build"]

    def write_archive(self, tag, archive):
        inspect = json.loads(self.run([*self.words, "image", "inspect", tag]).stdout)[0]
        history = [json.loads(line) for line in self.run([*self.words, "history", "--no-trunc", "--format", "{{json .}}", tag]).stdout.splitlines()]
        config = {"config": inspect["Config"], "os": inspect["Os"], "architecture": inspect["Architecture"], "author": inspect.get("Author"),
                  "variant": inspect.get("Variant"),
                  "history": [{"created_by": entry["CreatedBy"], "empty_layer": True} for entry in reversed(history)]}
        with tarfile.open(archive, "w") as tar:
            def put(name, document):
                data = json.dumps(document).encode()
                digest = hashlib.sha256(data).hexdigest()
                info = tarfile.TarInfo(name or "blobs/sha256/" + digest)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
                return {"digest": "sha256:" + digest}
            manifest = put(None, {"config": put(None, config), "layers": []})
            put("index.json", {"manifests": [manifest]})

    def message(self, output):
        lines = [line for line in output.splitlines() if line.startswith("ERROR: ")]
        text = lines[-1][7:] if lines else output[-2000:]
        assert "Cannot connect to the Docker daemon" not in text, text
        assert not text.startswith(("docker: ", "unknown flag")), "docker was asked wrongly: " + text
        return re.sub(r"[0-9a-f]{25}", "…", re.sub(r"^failed to (build|solve): ", "", re.sub(r"^failed to build: ", "", text)))

    def line(self, output):
        found = re.search(r"parse error on line (\d+)", output) or re.search(r"(?m)^\S+:(\d+)\n-{20}$", output)
        return found and found[1]


def make_rootfs(path):
    busybox = pathlib.Path("/bin/busybox")
    with tarfile.open(path, "w") as tar:
        def add(name, kind=tarfile.REGTYPE, mode=0o644, data=b"", link=""):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size, info.linkname, info.mtime = kind, mode, len(data), link, 1700000000
            tar.addfile(info, io.BytesIO(data))
        for name in ("bin", "dev", "etc", "proc", "sys", "root", "home", "home/app", "usr", "usr/bin", "var", "run"):
            add(name, tarfile.DIRTYPE, 0o755)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("bin/busybox", mode=0o755, data=busybox.read_bytes())
        for name in BASE_LINKS:
            add(f"bin/{name}", tarfile.SYMTYPE, 0o777, link="busybox")
        add("etc/passwd", data=PASSWD.encode())
        add("etc/group", data=GROUP.encode())
        for name in ("etc/resolv.conf", "etc/hosts", "etc/hostname"):
            add(name)


# --- running ---

def differences(want, got, a, b):
    return "".join(difflib.unified_diff(want.splitlines(True), got.splitlines(True), a, b, n=1))


def same(want, got):
    """Errors agree when both are errors of the same line, as far as both name one: the words are each engine's own."""
    if want is None:
        return False
    if want == got:
        return True
    errors = [re.match(r"error(?: \(line (\d+)\))?:", text) for text in (want, got)]
    if not all(errors) or "CRASHED" in got:
        return False
    return None in (errors[0][1], errors[1][1]) or errors[0][1] == errors[1][1]


def judge(case, number, ix, docker, options):
    if case.get("needs root") and (os.geteuid() != 0 or (ix and not ix.root)):
        return None
    with tempfile.TemporaryDirectory(dir=options.work) as directory:
        context = pathlib.Path(directory) / "context"
        server = Server(case) if case.get("serve") else None
        url = server.url if server else ""
        make_context(case, context, url)
        made = theirs = None
        if docker and not case.only_ix:
            theirs = docker.build(case, context, number, url)
        if ix:
            made = ix.build(case, context, number, url)
        if server:
            server.stop()
    if options.record:
        if theirs is not None:
            case.set("expect", theirs)
        if made is not None and (case.only_ix or case.differs):
            case.set("expect" if case.only_ix else "expect ix", made)
    want = case.text("expect ix") if case.differs else case.text("expect")
    problems = []
    if theirs is not None and not same(case.text("expect"), theirs):
        problems.append(differences(case.text("expect") or "", theirs, "record", "docker"))
    if made is not None and not same(want, made):
        problems.append(differences(want or "", made, "expected", "ix"))
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ix", default=os.environ.get("IX"))
    parser.add_argument("--docker", default=os.environ.get("IX_DOCKER"))
    parser.add_argument("--no-ix", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--way", action="append", choices=sorted(WAYS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("what", nargs="*")
    options = parser.parse_args()

    files = [(path, *parse(path)) for path in sorted((HERE / "cases").glob("*.cases"))]
    chosen = [c for path, _, cases in files for c in cases
              if not options.what or any(w == path.stem or w == str(path) or w.lower() in c.name.lower() for w in options.what)]
    if options.list:
        for case in chosen:
            print(f"{case.path.stem}: {case.name}")
        print(len(chosen), "cases")
        return 0
    total = [0, 0, 0]
    for way in (options.way or ["shared"]):
        counts = run_all(way, files, chosen, options)
        options.docker, options.record = None, False  # docker has one way
        total = [a + b for a, b in zip(total, counts)]
        if len(options.way or []) > 1:
            print(f"{way}: {counts[0]} passed, {counts[1]} failed, {counts[2]} skipped", flush=True)
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped", flush=True)
    return 1 if total[1] else 0


def run_all(way, files, chosen, options):
    options.work = tempfile.mkdtemp(prefix="ix-conformance-")
    passed = failed = skipped = 0
    ix = None
    try:
        rootfs = pathlib.Path(options.work) / "rootfs.tar"
        make_rootfs(rootfs)
        ix = None if options.no_ix or not options.ix else WAYS[way](options.work, options.ix)
        docker = Docker(options.work, options.docker) if options.docker else None
        if docker and not docker.version():
            print("no docker engine answers: the recorded expectations are compared")
            docker = None
        for builder in (ix, docker):
            if builder:
                builder.setup(rootfs)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            jobs = [(case, pool.submit(judge, case, i, ix, docker, options)) for i, case in enumerate(chosen)]
            for case, job in jobs:
                try:
                    problems = job.result()
                except Exception as error:  # a case that cannot be set up is a failure of that case
                    problems = [f"{type(error).__name__}: {error}\n"]
                if problems is None:
                    skipped += 1
                    print(f"SKIPPED {case.path.stem}: {case.name}: {case.get('needs root')[0][0]}")
                elif problems:
                    failed += 1
                    print(f"FAILED {case.path.stem}: {case.name}")
                    print("".join("    " + line for p in problems for line in p.splitlines(True)))
                else:
                    passed += 1
        if options.record:
            for path, lead, cases in files:
                if any(c in chosen for c in cases):
                    write(path, lead, cases)
        if docker:
            print(f"compared with docker {docker.version()}")
    finally:
        if ix:
            ix.close()
        shutil.rmtree(options.work, ignore_errors=True)
    return passed, failed, skipped


if __name__ == "__main__":
    sys.exit(main())
