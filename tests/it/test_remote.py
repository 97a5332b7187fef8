"""What a build fetches: ADD of URLs and repositories, contexts by URL, from an HTTP server and git's own daemon on loopback."""

import email.utils
import hashlib
import http.server
import io
import os
import subprocess
import tarfile
import threading

import pytest

from ixlib import dockerfile, free_port, Machine, make_base, members, text, wait_for_port, write

STAMP = 1600000000


class Files(http.server.BaseHTTPRequestHandler):
    files, seen, first = {}, [], {}  # first: what a path answers before it answers well

    def do_GET(self):
        body = self.files.get(self.path.split("?")[0])
        self.seen.append((self.path, dict(self.headers)))
        turn = self.first.get(self.path, []).pop(0) if self.first.get(self.path) else None
        if isinstance(turn, str):
            self.send_response(302)
            self.send_header("Location", turn)
            self.end_headers()
            return
        if turn:
            self.send_error(turn)
            return
        if body is None:
            self.send_error(404)
            return
        etag = '"' + hashlib.sha256(body).hexdigest()[:8] + '"'
        if self.headers.get("If-None-Match") == etag:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", email.utils.formatdate(STAMP, usegmt=True))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2] if turn == 0 else body)  # 0: the connection is cut in the middle

    def log_message(self, *words):
        pass


@pytest.fixture
def web():
    class Own(Files):
        files, seen, first = {}, [], {}

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Own.url = f"http://127.0.0.1:{server.server_port}"
    yield Own
    server.shutdown()
    server.server_close()


def git(*words, cwd):
    env = dict(os.environ, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b",
               GIT_AUTHOR_DATE=f"{STAMP} +0000", GIT_COMMITTER_DATE=f"{STAMP} +0000", GIT_CONFIG_GLOBAL="/dev/null")
    return subprocess.run(["git", *words], cwd=cwd, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository with two commits, a tag and a branch, served by git daemon."""
    root = tmp_path / "srv/app.git"
    root.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=root)
    write(root, **{"a.txt": "one", "sub/run.sh": "#!/bin/sh\n", "sub/Dockerfile": "FROM busybox:test\nCOPY run.sh /r\n"})
    (root / "sub/run.sh").chmod(0o755)
    git("add", "-A", cwd=root)
    git("commit", "-qm", "1", cwd=root)
    git("tag", "-am", "v1", "v1", cwd=root)
    git("checkout", "-qb", "next", cwd=root)
    write(root, **{"a.txt": "two"})
    git("commit", "-qam", "2", cwd=root)
    git("checkout", "-q", "main", cwd=root)
    port = free_port()
    server = subprocess.Popen(["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}",
                               f"--base-path={tmp_path / 'srv'}"], stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for_port(port)
    yield f"git://127.0.0.1:{port}/app.git", root
    os.killpg(server.pid, 15)
    server.wait()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    make_base(machine, tmp_path_factory.mktemp("base"))
    return machine


def archive(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), STAMP
            tar.addfile(info, io.BytesIO(content.encode()))
    return out.getvalue()


def test_add_url_has_the_servers_time_and_mode_600(machine, tmp_path, web):
    web.files["/d/tool"] = b"tool"
    dockerfile(tmp_path, f"FROM busybox:test\nADD {web.url}/d/tool?x=1 /bin/\nADD {web.url}/d/tool /opt/named\n")
    got = members(machine.root_tar(tmp_path))
    assert got["bin/tool"].mode & 0o777 == 0o600 and got["bin/tool"].mtime == STAMP
    assert "opt/named" in got


def test_add_url_is_asked_again_and_fetched_once(machine, tmp_path, web):
    web.files["/once"] = b"1"
    dockerfile(tmp_path, f"FROM busybox:test\nADD {web.url}/once /x\n")
    assert text(machine.root_tar(tmp_path), "x") == "1"
    machine.build(tmp_path)
    assert web.seen[-1][1].get("If-None-Match"), "the second time it asks whether it changed"
    web.files["/once"] = b"2"
    assert text(machine.root_tar(tmp_path), "x") == "2"


def test_add_url_checksum(machine, tmp_path, web):
    web.files["/c"] = b"content"
    digest = hashlib.sha256(b"content").hexdigest()
    dockerfile(tmp_path, f"FROM busybox:test\nARG SUM={digest}\nADD --checksum=sha256:$SUM {web.url}/c /c\n")
    machine.build(tmp_path)
    asked = len(web.seen)
    machine.build(tmp_path)
    assert len(web.seen) == asked, "what has a checksum is not asked for again"
    r = machine.failure("build", "-q", "--build-arg", "SUM=" + "0" * 64, str(tmp_path))
    assert "digest mismatch" in r.err and "Dockerfile:3:1" in r.err


def test_add_url_that_is_not_there_says_so(machine, tmp_path, web):
    dockerfile(tmp_path, f"FROM busybox:test\nADD {web.url}/nope /x\n")
    r = machine.failure("build", "-q", str(tmp_path))
    assert "Dockerfile:2:1" in r.err and "404 not found" in r.err


def test_add_url_of_an_archive_is_unpacked_on_request(machine, tmp_path, web):
    web.files["/a.tgz"] = archive(**{"in/side": "x"})
    dockerfile(tmp_path, f"FROM busybox:test\nADD {web.url}/a.tgz /plain/\nADD --unpack=true {web.url}/a.tgz /un/\n")
    got = members(machine.root_tar(tmp_path))
    assert "plain/a.tgz" in got and "un/in/side" in got and "un/a.tgz" not in got


def test_add_url_with_a_token(machine, tmp_path, web):
    web.files["/t"] = b"t"
    dockerfile(tmp_path, f"FROM busybox:test\nADD {web.url}/t /t\n")
    machine.build(tmp_path, "--secret", "id=HTTP_AUTH_TOKEN_127.0.0.1,env=TOK", env={"TOK": "hush"})
    assert web.seen[-1][1].get("Authorization") == "Bearer hush"


def test_add_url_is_tried_again_from_the_start(machine, tmp_path, web):
    web.files["/t"] = b"0123456789" * 1000
    web.first["/t"] = [503, 0]
    dockerfile(tmp_path, f"FROM busybox:test\nADD {web.url}/t /t\n")
    assert text(machine.root_tar(tmp_path), "t") == "0123456789" * 1000
    assert [path for path, _ in web.seen] == ["/t"] * 3


def test_add_url_with_a_login_shows_it_to_its_own_server_only(machine, tmp_path, web):
    web.files["/t"] = b"t"
    other = web.url.replace("127.0.0.1", "localhost")
    web.first["/moved"] = [other + "/t"]
    dockerfile(tmp_path, f"FROM busybox:test\nADD {web.url.replace('//', '//joe:pw@')}/moved /t\n")
    machine.build(tmp_path)
    assert [(path, headers.get("Authorization")) for path, headers in web.seen] == [("/moved", "Basic am9lOnB3"), ("/t", None)]
    web.files.clear()
    r = machine.failure("build", "-q", str(tmp_path))
    assert f"GET {web.url}/moved: 404 not found" in r.err


def test_add_repository(machine, tmp_path, repository):
    url, root = repository
    dockerfile(tmp_path, f"FROM busybox:test\nADD {url} /main\nADD {url}#v1:sub /tag\nADD {url}?branch=next /next/\n"
               f"ADD --keep-git-dir=true {url} /kept\n")
    tar = machine.root_tar(tmp_path)
    got = members(tar)
    assert text(tar, "main/a.txt") == "one" and text(tar, "next/a.txt") == "two" and "tag/run.sh" in got
    assert got["tag/run.sh"].mode & 0o777 == 0o755 and got["main/a.txt"].mode & 0o777 == 0o644 and got["main/a.txt"].mtime == STAMP
    assert "main/.git" not in got and "kept/.git" in got


def test_add_repository_checksum_is_a_commit(machine, tmp_path, repository):
    url, root = repository
    commit = git("rev-parse", "main", cwd=root)
    dockerfile(tmp_path, f"FROM busybox:test\nARG C\nADD --checksum=$C {url}#main /m\n")
    machine.build(tmp_path, "--build-arg", "C=" + commit[:12])
    r = machine.failure("build", "-q", "--build-arg", "C=" + "0" * 40, str(tmp_path))
    assert "expected checksum to match" in r.err


def test_add_repository_moves_with_its_branch(machine, tmp_path, repository):
    url, root = repository
    dockerfile(tmp_path, f"FROM busybox:test\nADD {url}#main /m\n")
    machine.build(tmp_path)
    assert "step" not in machine.build(tmp_path).err
    write(root, **{"a.txt": "three"})
    git("commit", "-qam", "3", cwd=root)
    assert text(machine.root_tar(tmp_path), "m/a.txt") == "three"


def test_ref_that_is_not_there_says_so(machine, tmp_path, repository):
    dockerfile(tmp_path, f"FROM busybox:test\nADD {repository[0]}#nope /m\n")
    assert "does not contain ref nope" in machine.failure("build", "-q", str(tmp_path)).err


def test_repository_as_context(machine, tmp_path, repository):
    tar = machine.root_tar(repository[0] + "#main:sub")
    assert text(tar, "r") == "#!/bin/sh\n"


def test_repository_as_named_context(machine, tmp_path, repository):
    dockerfile(tmp_path, "FROM busybox:test\nCOPY --from=src a.txt /a\n")
    assert text(machine.root_tar(tmp_path, "--build-context", f"src={repository[0]}#next"), "a") == "two"


def test_archive_as_context_on_standard_input_and_by_url(machine, tmp_path, web):
    data = archive(**{"Dockerfile": "FROM busybox:test\nCOPY f /f\n", "f": "in the archive", ".dockerignore": "x"})
    web.files["/ctx.tar.gz"] = data
    out = tmp_path / "o.tar"
    machine.ix("build", "-q", "-o", f"type=tar,dest={out}", "-", input=data)
    assert text(tarfile.open(out), "f") == "in the archive"
    assert text(machine.root_tar(f"{web.url}/ctx.tar.gz"), "f") == "in the archive"


def test_dockerfile_by_url(machine, tmp_path, web):
    web.files["/D"] = b"FROM busybox:test\nRUN echo hi > /hi\n"
    assert text(machine.root_tar(f"{web.url}/D"), "hi") == "hi\n"
    write(tmp_path, **{"x": "1"})
    assert text(machine.root_tar(tmp_path, "-f", f"{web.url}/D"), "hi") == "hi\n"


def test_ssh_agent_is_reached_by_a_step(machine, tmp_path):
    """The agent is a real one; the step speaks its protocol: it asks for the identities and gets an answer."""
    sock = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(sock)], stdout=subprocess.DEVNULL)
    try:
        while not sock.exists():
            pass
        dockerfile(tmp_path, "FROM busybox:test\nUSER app\n"
                   "RUN --mount=type=ssh,required=true,uid=1000 test -S $SSH_AUTH_SOCK && stat -c %u:%a $SSH_AUTH_SOCK > /tmp/s\n"
                   "RUN --mount=type=ssh,id=other test ! -e /run/buildkit/ssh_agent.0\n")
        assert text(machine.root_tar(tmp_path, "--ssh", f"default={sock}"), "tmp/s") == "1000:600\n"
        r = machine.failure("build", "-q", "--no-cache", str(tmp_path))
        assert "unset ssh forward key default" in r.err
    finally:
        agent.terminate()
        agent.wait()
