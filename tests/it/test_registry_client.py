"""The registry room against two servers: one that misbehaves on request, and Debian's docker-registry."""
import base64
import json
import os
import shutil
import subprocess
import time

import pytest

from conftest import MANIFEST, CuttingProxy, LimitingProxy, Registry, free_port, sha

TOOL = os.environ["IX_REGTOOL"]
EFAIL, ENOTFOUND, ECORRUPT, ECANCELED, EAUTH = 1, 4, 6, 8, 9


class Result:
    def __init__(self, done):
        self.out = done.stdout.decode(errors="replace")
        self.err = done.stderr.decode(errors="replace")
        self.status = done.returncode
        self.code, self.message, self.requests, self.down, self.up = 0, "", 0, 0, 0
        for line in self.err.splitlines():
            if line.startswith("error "):
                code, _, self.message = line[len("error "):].partition(": ")
                self.code = int(code)
            if line.startswith("stats "):
                words = line.split()
                self.requests, self.down, self.up = int(words[2]), int(words[4]), int(words[6])
        assert "Sanitizer" not in self.err and "runtime error" not in self.err, self.err

    def good(self):
        assert self.status == 0, self.err
        return self

    def bad(self, code, *texts):
        assert self.status == 1, self.out + self.err
        assert self.code == code, self.err
        for text in texts:
            assert text in self.message, self.message
        return self


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def tool(home):
    def run(*args, env=None, timeout=60):
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "ASAN_OPTIONS": "detect_leaks=1", **(env or {})}
        return Result(subprocess.run([TOOL, *[str(arg) for arg in args]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                                     timeout=timeout, check=False))
    return run


def docker_login(home, host, user="joe", password="s3cret", **more):
    (home / ".docker").mkdir(exist_ok=True)
    auth = base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}, **more}))


def noise(size, seed=7):
    return (b"%d" % seed + bytes(range(256))) * (size // 257 + 1)


def blob_file(tmp_path, data, name="blob"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


# --- plain http ---


def test_head_finds_digest_and_type(tool, registry):
    digest = registry.add_manifest("app", "v1")
    registry.reset()
    result = tool("head", registry.host + "/app:v1").good()
    assert result.out == "%s/app:v1: 0 %s %s\n" % (registry.host, digest, MANIFEST)
    assert registry.lines() == ["HEAD /v2/app/manifests/v1"]
    assert result.requests == 1


def test_head_of_a_missing_tag_is_not_found(tool, registry):
    result = tool("head", registry.host + "/app:nothing").good()
    assert result.out.startswith("%s/app:nothing: -%d HEAD http://%s/v2/app/manifests/nothing: 404 not found" % (
        registry.host, ENOTFOUND, registry.host))


def test_head_without_docker_content_digest_leaves_it_out(tool, registry):
    registry.add_manifest("app", "v1")
    registry.config(digest_header=False)
    assert tool("head", registry.host + "/app:v1").good().out.endswith(" 0 - %s\n" % MANIFEST)


def test_head_by_digest_refuses_another_digest(tool, registry):
    digest = registry.add_manifest("app", "v1")
    registry.config(wrong_digest="sha256:" + "0" * 64)
    out = tool("head", registry.host + "/app@" + digest).good().out
    assert ": -%d HEAD" % ECORRUPT in out and "the registry says the manifest is sha256:0000" in out


def test_get_gives_the_bytes_as_sent(tool, registry):
    data = b'{ "schemaVersion":2,\n  "mediaType":"%s" }\n\n' % MANIFEST.encode()
    digest = registry.add_manifest("app", "v1", data)
    result = tool("get", registry.host + "/app:v1").good()
    assert result.out == "%s %s %d\n%s\n" % (digest, MANIFEST, len(data), data.decode())
    assert result.down == len(data)


def test_get_quotes_what_the_registry_says(tool, registry):
    registry.config(rules=[{"status": 400, "body": json.dumps({"errors": [{"code": "NAME_INVALID", "message": "bad\u001b[31m name"}]})}])
    tool("get", registry.host + "/app:v1").bad(EFAIL, "GET http://%s/v2/app/manifests/v1: 400 bad request: NAME_INVALID: bad\\x1b[31m name"
                                               % registry.host)


def test_get_does_not_quote_html(tool, registry):
    registry.config(rules=[{"status": 404, "body": "<html><body>nothing here</body></html>"}])
    assert tool("get", registry.host + "/app:v1").bad(ENOTFOUND).message.endswith("404 not found")


def test_get_of_an_endless_error_body_ends(tool, registry):
    registry.config(rules=[{"status": 403, "body": "x" * 3000000}])
    tool("get", registry.host + "/app:v1").bad(EAUTH, "403 forbidden", "does not allow this to anonymous users")


def test_get_refuses_a_manifest_over_the_limit(tool, registry):
    registry.add_manifest("app", "big", b"{" + b" " * (5 << 20) + b"}")
    assert "limit of" in tool("get", registry.host + "/app:big").bad(7).message


def test_get_refuses_bytes_that_are_not_the_digest(tool, registry):
    digest = registry.add_manifest("app", "v1")
    registry.config(corrupt_manifests=True, digest_header=False)
    tool("get", registry.host + "/app@" + digest).bad(ECORRUPT, "the manifest's bytes are sha256:")
    registry.config(digest_header=True)
    tool("get", registry.host + "/app:v1").bad(ECORRUPT, "the registry says the manifest is " + digest)


def test_headers_without_end_are_cut_off(tool, registry):
    registry.config(rules=[{"status": 200, "headers": {"X-Many": ["y" * 1000] * 90}}])
    tool("get", registry.host + "/app:v1").bad(7, "the headers of the reply are larger than 65536 bytes")


@pytest.mark.parametrize("link", ["relative", "absolute"])
def test_tags_follow_links(tool, registry, link):
    tags = ["v%d" % number for number in range(7)]
    for tag in tags:
        registry.add_manifest("tagged", tag)
    registry.reset()
    registry.config(page=3, link=link)
    assert tool("tags", registry.host + "/tagged").good().out.split() == tags
    assert [entry["query"] for entry in registry.log()] == [{"n": ["1000"]}, {"n": ["3"], "last": ["v2"]}, {"n": ["3"], "last": ["v5"]}]


def test_tags_of_nothing_is_not_found(tool, registry):
    tool("tags", registry.host + "/none").bad(ENOTFOUND, "NAME_UNKNOWN: repository name not known to registry")


def test_tags_may_be_null(tool, registry):
    registry.config(rules=[{"status": 200, "body": '{"name":"app","tags":null}'}])
    assert tool("tags", registry.host + "/app").good().out == ""


# --- blobs in ---


def test_blob_arrives_whole(tool, registry, tmp_path):
    data = noise(3 << 20)
    digest = registry.add_blob("app", data)
    result = tool("blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == data
    assert result.out == "finished yes\n" and result.down == len(data)


def test_blob_of_unknown_size_and_empty_blob(tool, registry, tmp_path):
    for data in (b"hello", b""):
        digest = registry.add_blob("app", data)
        tool("blob", registry.host + "/app", digest, 0, tmp_path / "out").good()
        assert (tmp_path / "out").read_bytes() == data


@pytest.mark.threads
def test_blob_is_resumed_where_it_broke(tool, registry, tmp_path):
    data = noise(2 << 20)
    digest = registry.add_blob("app", data)
    registry.reset()
    registry.config(cut_blob_at=700000, cut_times=2)
    result = tool("blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == data
    ranges = [entry["range"] for entry in registry.log()]
    assert ranges == [None, "bytes=700000-", "bytes=1400000-"]
    assert result.down == len(data)


def test_blob_is_resumed_when_range_is_ignored(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    registry.config(cut_blob_at=300000, cut_times=1, ignore_range=True)
    tool("blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == data


def test_blob_of_unknown_size_is_resumed_too(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    registry.config(cut_blob_at=300000, cut_times=1)
    tool("blob", registry.host + "/app", digest, 0, tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == data


def test_blob_from_another_range_is_refused(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    registry.config(cut_blob_at=300000, cut_times=1, wrong_range=True)
    result = tool("blob", registry.host + "/app", digest, len(data), tmp_path / "out")
    result.bad(EFAIL, "asked for bytes from 300000, it sent another range: 'bytes 300007-")
    assert result.out == "finished no\n"


def test_blob_with_wrong_bytes_is_never_finished(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    registry.config(corrupt_blobs=True)
    result = tool("blob", registry.host + "/app", digest, len(data), tmp_path / "out")
    result.bad(ECORRUPT, "GET http://%s/v2/app/blobs/%s: the blob's bytes are sha256:" % (registry.host, digest))
    assert result.out == "finished no\n"


def test_blob_of_another_size_is_refused(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    for size in (len(data) + 1, len(data) - 1):
        result = tool("blob", registry.host + "/app", digest, size, tmp_path / "out")
        result.bad(ECORRUPT, "the blob has %d bytes, it should have %d" % (len(data), size))
        assert result.out == "finished no\n"


def test_progress_is_told(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    result = tool("--progress", "yes", "blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
    assert "progress %d/%d\n" % (len(data), len(data)) in result.err


def test_a_writer_that_fails_ends_the_transfer(tool, registry):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    registry.reset()
    result = tool("blob", registry.host + "/app", digest, len(data), "/dev/full")
    assert "No space left on device" in result.bad(3).message
    assert len(registry.log()) == 1


@pytest.mark.threads
def test_cancel_ends_a_transfer_at_once(tool, registry, tmp_path):
    data = noise(4 << 20)
    digest = registry.add_blob("app", data)
    registry.config(slow=0.2)
    start = time.time()
    tool("--cancel-ms", "500", "blob", registry.host + "/app", digest, len(data), tmp_path / "out").bad(ECANCELED, "canceled")
    assert time.time() - start < 30


@pytest.mark.threads
def test_cancel_ends_waiting_for_a_retry(tool, registry):
    registry.config(rules=[{"status": 503, "times": 9, "headers": {"Retry-After": "60"}}])
    start = time.time()
    tool("--cancel-ms", "500", "get", registry.host + "/app:v1").bad(ECANCELED)
    assert time.time() - start < 30


def test_a_connection_without_bytes_times_out(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    registry.reset()
    registry.config(rules=[{"path": ".*/blobs/.*", "delay": 8}])
    start = time.time()
    tool("--timeout-s", "2", "blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
    assert time.time() - start < 30
    assert len(registry.log()) == 2


# --- bodies that are too large for something on the way ---


def pieces(registry):
    return [(entry["method"], int(entry["length"])) for entry in registry.log() if entry["method"] in ("PUT", "PATCH") and entry["length"] != "0"]


def test_an_upload_goes_in_pieces_after_one_413(tool, registry, tmp_path):
    data = [noise(3 << 20, seed) for seed in (1, 2)]
    registry.config(body_limit=1 << 20)
    paths = [blob_file(tmp_path, one, f"b{i}") for i, one in enumerate(data)]
    tool("put", registry.host + "/app", paths[0], "+", "put", registry.host + "/app", paths[1]).good()
    sizes = pieces(registry)
    size = len(data[0])
    chunk = next(sent for method, sent in sizes if method == "PATCH" and sent <= 1 << 20)
    assert sizes[0] == ("PUT", size) and len([sent for _, sent in sizes if sent > 1 << 20]) == 2, sizes
    again = sizes[len(sizes) - -(-size // chunk):]
    assert all(method == "PATCH" for method, _ in again) and sum(sent for _, sent in again) == size, "the second is sent in pieces at once"
    registry.config(body_limit=0)
    for i, one in enumerate(data):
        tool("blob", registry.host + "/app", sha(one), len(one), tmp_path / f"out{i}").good()
        assert (tmp_path / f"out{i}").read_bytes() == one


def test_pieces_go_on_where_the_registry_is(tool, registry, tmp_path):
    data = noise(3 << 20)
    registry.config(body_limit=1 << 20, keep_at_most=300000)
    tool("put", registry.host + "/app", blob_file(tmp_path, data)).good()
    registry.config(body_limit=0)
    tool("blob", registry.host + "/app", sha(data), len(data), tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == data


def test_a_piece_that_broke_is_sent_again_from_where_the_registry_is(tool, registry, tmp_path):
    data = noise(6 << 20)
    registry.config(body_limit=1 << 20, rules=[{"method": "PATCH", "skip": 5, "drop": True}])
    tool("put", registry.host + "/app", blob_file(tmp_path, data)).good()
    registry.config(body_limit=0)
    tool("blob", registry.host + "/app", sha(data), len(data), tmp_path / "out").good()


@pytest.mark.parametrize("limit, least", [(10000, 0), (1 << 20, 2 << 20)])
def test_pieces_are_not_smaller_than_makes_sense_or_the_registry_takes(tool, registry, tmp_path, limit, least):
    registry.config(body_limit=limit, chunk_min=least)
    tool("put", registry.host + "/app", blob_file(tmp_path, noise(3 << 20, 50 + least))).bad(EFAIL, "413 too large")


def test_docker_registry_takes_pieces(tool, docker_registry, tmp_path):
    registry = docker_registry()
    data = noise(3 << 20)
    proxy = LimitingProxy(registry.port, 1 << 20)
    try:
        tool("put", proxy.host + "/app", blob_file(tmp_path, data)).good()
        tool("blob", registry.host + "/app", sha(data), len(data), tmp_path / "out").good()
        assert proxy.refused > 0 and (tmp_path / "out").read_bytes() == data
    finally:
        proxy.stop()


# --- slow servers ---


SLOW = "the answer comes slower than 512 bytes a second"


@pytest.mark.parametrize("after, why", [(0, "no answer for 2 seconds"), (200, SLOW)])
def test_a_manifest_byte_by_byte_is_not_waited_for(tool, registry, after, why):
    registry.add_manifest("app", "v1")
    registry.reset()
    registry.config(rules=[{"path": ".*/manifests/.*", "drip": 0.2, "after": after, "times": 9}])
    start = time.time()
    tool("--timeout-s", "2", "get", registry.host + "/app:v1").bad(EFAIL, why)
    assert tool("--timeout-s", "2", "head", registry.host + "/app:v1", registry.host + "/app:v2").good().out.count(why) == 2
    assert time.time() - start < 30
    assert len(registry.log()) == 4, "once more, and then no more"


def test_a_server_that_was_slow_once_is_tried_again(tool, registry):
    registry.add_manifest("app", "v1")
    registry.config(rules=[{"path": ".*/manifests/.*", "drip": 0.2}])
    tool("--timeout-s", "2", "get", registry.host + "/app:v1").good()


def test_a_blob_byte_by_byte_is_resumed_once(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    registry.reset()
    registry.config(rules=[{"path": ".*/blobs/.*", "drip": 0.2, "after": 400000, "times": 9}])
    start = time.time()
    tool("--timeout-s", "2", "blob", registry.host + "/app", digest, len(data), tmp_path / "out").bad(EFAIL, SLOW)
    assert time.time() - start < 30
    assert [entry["range"] for entry in registry.log()][0] is None and registry.log()[1]["range"] and len(registry.log()) == 2
    registry.config(rules=[{"path": ".*/blobs/.*", "drip": 0.2, "after": 400000}])
    tool("--timeout-s", "2", "blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == data


def test_a_blob_that_comes_slowly_but_steadily_is_waited_for(tool, registry, tmp_path):
    data = noise(1 << 17)
    digest = registry.add_blob("app", data)
    registry.reset()
    registry.config(slow=0.6)
    tool("--timeout-s", "2", "blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
    assert len(registry.log()) == 1


def test_a_token_server_byte_by_byte_is_not_waited_for(tool, registry):
    registry.add_manifest("app", "v1")
    registry.config(auth="bearer", anonymous=True, rules=[{"path": "/token", "drip": 0.2, "after": 120, "times": 9}])
    start = time.time()
    tool("--timeout-s", "2", "get", registry.host + "/app:v1").bad(EFAIL, SLOW)
    assert time.time() - start < 30


def test_a_slow_mirror_is_left(tool, registry, mirror, tmp_path):
    data = noise(1 << 20)
    for one in (registry, mirror):
        one.add_manifest("app", "v1")
        one.add_blob("app", data)
        one.reset()
    mirror.config(rules=[{"path": ".*/blobs/.*", "drip": 0.2, "after": 400000, "times": 9}])
    tool("--timeout-s", "2", *with_mirror(registry, mirror), "blob", registry.host + "/app", sha(data), len(data), tmp_path / "out", "+",
         "get", registry.host + "/app:v1").good()
    assert (tmp_path / "out").read_bytes() == data
    assert len(mirror.log()) == 1, "slow once, it is not asked again soon"
    assert registry.log()[0]["range"], "the registry goes on where the mirror was left"


def test_an_upload_answered_byte_by_byte_is_looked_for(tool, registry, tmp_path):
    registry.config(rules=[{"method": "PUT", "drip": 0.2, "times": 9}])
    start = time.time()
    tool("--timeout-s", "2", "put", registry.host + "/app", blob_file(tmp_path, noise(300000))).good()
    assert time.time() - start < 20
    assert [entry["method"] for entry in registry.log()] == ["HEAD", "POST", "PUT", "HEAD"]


# --- retries ---


def test_503_and_500_are_tried_again(tool, registry):
    registry.add_manifest("app", "v1")
    registry.reset()
    registry.config(rules=[{"status": 503}, {"status": 500}])
    tool("get", registry.host + "/app:v1").good()
    assert len(registry.log()) == 3


def test_dropped_connections_are_tried_again(tool, registry):
    registry.add_manifest("app", "v1")
    registry.reset()
    registry.config(rules=[{"drop": True, "times": 2}])
    tool("get", registry.host + "/app:v1").good()
    assert len(registry.log()) >= 3


def test_retry_after_is_obeyed(tool, registry):
    registry.add_manifest("app", "v1")
    registry.reset()
    registry.config(rules=[{"status": 429, "headers": {"Retry-After": "2"}}])
    tool("get", registry.host + "/app:v1").good()
    first, second = [entry["at"] for entry in registry.log()]
    assert 2.0 <= second - first < 4


def test_retry_after_beyond_the_budget_fails_at_once(tool, registry):
    registry.config(rules=[{"status": 429, "times": 9, "headers": {"Retry-After": "600"},
                            "body": '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}'}])
    start = time.time()
    tool("get", registry.host + "/app:v1").bad(
        EFAIL, "429 too many requests: TOOMANYREQUESTS: slow down: it asks to wait (Retry-After: 600), logging in may raise the limit")
    assert time.time() - start < 30 and len(registry.log()) == 1


def test_the_retry_budget_ends(tool, registry):
    registry.config(rules=[{"status": 503, "times": 99}])
    start = time.time()
    tool("--retry-s", "2", "get", registry.host + "/app:v1").bad(EFAIL, "503 unavailable (", " times)")
    assert time.time() - start < 30
    assert 2 <= len(registry.log()) <= 5


def test_a_404_is_not_tried_again(tool, registry):
    tool("get", registry.host + "/app:nothing").bad(ENOTFOUND)
    assert len(registry.log()) == 1


def test_a_closed_port_is_said_plainly(tool):
    port = free_port()
    tool("get", "127.0.0.1:%d/app:v1" % port).bad(EFAIL, "GET http://127.0.0.1:%d/v2/app/manifests/v1: " % port, "onnect")


# --- redirects ---


def test_a_redirect_to_another_host_carries_no_authorization(tool, registry, tmp_path, home):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    docker_login(home, registry.host)
    for auth in ("basic", "bearer"):
        registry.reset()
        registry.config(auth=auth, redirect_blobs="cdn")
        tool("blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
        assert (tmp_path / "out").read_bytes() == data
        assert [entry["authorization"] for entry in registry.log("cdn")] == [None]
        assert registry.log("main")[-1]["authorization"].lower().startswith(auth)


def test_a_redirected_blob_is_resumed_through_the_registry(tool, registry, tmp_path):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    registry.reset()
    registry.config(redirect_blobs="cdn", cut_blob_at=400000, cut_times=1)
    tool("blob", registry.host + "/app", digest, len(data), tmp_path / "out").good()
    assert [entry["where"] for entry in registry.log()] == ["main", "cdn", "main", "cdn"]
    assert [entry["range"] for entry in registry.log("cdn")] == [None, "bytes=400000-"]


def test_redirects_end(tool, registry, tmp_path):
    registry.config(rules=[{"times": 99, "status": 302, "headers": {"Location": "/v2/app/manifests/v1"}}])
    tool("get", registry.host + "/app:v1").bad(EFAIL, "more than 10 redirects")


@pytest.mark.parametrize("location,text", [
    ("http://registry.example/x", "leads to plain http: http://registry.example/x: refused"),
    ("file:///etc/passwd", "not an http or https URL"),
    ("http://joe:pw@127.0.0.1/x", "user name"),
    ("http://[::1", "bad URL"),
])
def test_bad_redirects_are_refused(tool, registry, location, text):
    registry.config(rules=[{"status": 307, "headers": {"Location": location}}])
    tool("get", registry.host + "/app:v1").bad(EFAIL, text)


# --- basic and bearer ---


def test_basic_needs_a_login(tool, registry):
    registry.add_manifest("app", "v1")
    registry.config(auth="basic")
    tool("get", registry.host + "/app:v1").bad(
        EAUTH, "GET http://%s/v2/app/manifests/v1: 401 unauthorized: UNAUTHORIZED: authentication required: log in to %s (ix login %s, "
        "or registries: in ix.yaml)" % (registry.host, registry.host, registry.host))


def test_basic_from_config_json(tool, registry, home):
    registry.add_manifest("app", "v1")
    registry.config(auth="basic")
    docker_login(home, registry.host)
    tool("get", registry.host + "/app:v1").good()


def test_basic_refused_is_said(tool, registry, home):
    registry.add_manifest("app", "v1")
    registry.reset()
    registry.config(auth="basic")
    docker_login(home, registry.host, password="wrong")
    tool("get", registry.host + "/app:v1").bad(EAUTH, "the credentials for it were refused: log in again to " + registry.host)
    assert len(registry.log()) == 2


def test_configured_login_wins_over_files(tool, registry, home):
    registry.add_manifest("app", "v1")
    registry.config(auth="basic")
    docker_login(home, registry.host, password="wrong")
    tool("--host", registry.host, "--user", "joe", "--password", "s3cret", "get", registry.host + "/app:v1").good()


def test_a_username_without_password_is_an_error(tool, registry):
    tool("--host", registry.host, "--user", "joe", "get", registry.host + "/app:v1").bad(2, "a username needs a password")


def test_bearer_anonymous(tool, registry):
    registry.add_manifest("app", "v1")
    registry.reset()
    registry.config(auth="bearer", anonymous=True)
    tool("get", registry.host + "/app:v1").good()
    assert registry.lines() == ["GET /v2/app/manifests/v1", "GET /token", "GET /v2/app/manifests/v1"]
    token = registry.log()[1]
    assert token["query"] == {"service": ["test registry"], "scope": ["repository:app:pull"]} and token["authorization"] is None


def test_bearer_with_a_login(tool, registry, home):
    registry.add_manifest("app", "v1")
    docker_login(home, registry.host)
    for field in ("token", "access_token"):
        registry.reset()
        registry.config(auth="bearer", token_field=field)
        tool("get", registry.host + "/app:v1").good()
        token = registry.log()[1]
        assert token["authorization"].startswith("Basic ") and token["query"]["account"] == ["joe"]


def test_bearer_refused_anonymous_asks_to_log_in(tool, registry):
    registry.add_manifest("app", "v1")
    registry.reset()
    registry.config(auth="bearer")
    tool("get", registry.host + "/app:v1").bad(EAUTH, "log in to " + registry.host)
    assert len(registry.log()) == 3


def test_bearer_with_a_wrong_password_names_the_file(tool, registry, home):
    registry.add_manifest("app", "v1")
    registry.config(auth="bearer")
    docker_login(home, registry.host, password="wrong")
    tool("get", registry.host + "/app:v1").bad(
        EAUTH, "the login for %s from %s/.docker/config.json: GET http://%s/token: 401 unauthorized: incorrect username or password"
        % (registry.host, home, registry.host))


def test_a_wrong_password_is_tried_once_for_a_batch(tool, registry, home):
    registry.config(auth="bearer")
    docker_login(home, registry.host, password="wrong")
    result = tool("head", *["%s/app:v%d" % (registry.host, n) for n in range(20)]).good()
    assert result.out.count("incorrect username or password") == 20
    assert registry.count("GET", "/token") == 1


def test_tokens_are_kept_per_scope(tool, registry):
    for repository in ("a", "b"):
        registry.add_manifest(repository, "v1")
    registry.reset()
    registry.config(auth="bearer", anonymous=True)
    tool("get", registry.host + "/a:v1", "+", "get", registry.host + "/a:v1", "+", "get", registry.host + "/b:v1", "+", "get",
         registry.host + "/b:v1").good()
    assert registry.count("GET", "/token") == 2
    # the first request learns, the others know
    assert [line for line in registry.lines() if "manifests" in line] == ["GET /v2/a/manifests/v1"] * 3 + ["GET /v2/b/manifests/v1"] * 2


def test_expired_tokens_are_renewed_before_they_are_sent(tool, registry):
    registry.add_manifest("app", "v1")
    registry.reset()
    registry.config(auth="bearer", anonymous=True, token_lifetime=1)
    tool("get", registry.host + "/app:v1", "+", "sleep", "1200", "+", "get", registry.host + "/app:v1").good()
    assert registry.lines() == ["GET /v2/app/manifests/v1", "GET /token", "GET /v2/app/manifests/v1", "GET /token", "GET /v2/app/manifests/v1"]


def test_a_token_revoked_early_is_renewed_after_401(tool, registry, tmp_path, home):
    data = noise(1 << 20)
    digest = registry.add_blob("app", data)
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer", rules=[{"path": "/v2/app/blobs/.*", "skip": 2, "status": 401}])
    args = ("blob", registry.host + "/app", digest, len(data), tmp_path / "out")
    tool(*args, "+", *args).good()
    assert registry.count("GET", "/token") == 2


def test_tokens_that_never_work_end(tool, registry, home):
    registry.add_manifest("app", "v1")
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer", token_valid=False)
    tool("get", registry.host + "/app:v1").bad(EAUTH, "the credentials for it were refused")
    assert registry.count("GET", "/token") <= 2


def test_a_challenge_only_at_v2_is_found(tool, registry, home):
    registry.add_manifest("app", "v1")
    docker_login(home, registry.host)
    for auth in ("basic", "bearer"):
        registry.reset()
        registry.config(auth=auth, challenge_only_at_root=True)
        tool("get", registry.host + "/app:v1").good()
        assert "GET /v2/" in registry.lines()


def test_a_challenge_may_want_another_scope(tool, registry, home):
    registry.add_manifest("app", "v1")
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer", scope_prefix="team/")
    tool("get", registry.host + "/app:v1").good()
    assert registry.log()[1]["query"]["scope"] == ["repository:app:pull", "repository:team/app:pull"]


def test_bearer_is_chosen_of_several_challenges(tool, registry, home):
    registry.add_manifest("app", "v1")
    docker_login(home, registry.host)
    realm = "http://%s/token" % registry.host
    for challenge in (['Negotiate', 'Basic realm="x", Bearer realm="%s",service="s, \\"t\\""' % realm],
                      ['Basic realm="x"', 'bearer realm="%s" , service=s' % realm]):
        registry.reset()
        registry.config(auth="bearer", challenge=challenge)
        tool("get", registry.host + "/app:v1").good()


def test_an_unknown_challenge_is_named(tool, registry):
    registry.config(auth="basic", challenge=["Negotiate YII="])
    tool("get", registry.host + "/app:v1").bad(EFAIL, "it asks for 'Negotiate' authentication in a way ix does not speak")


def test_a_token_server_that_only_posts(tool, registry, home):
    registry.add_manifest("app", "v1")
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer", token_get=405, token_field="access_token")
    tool("get", registry.host + "/app:v1").good()
    assert [line for line in registry.lines() if "/token" in line] == ["GET /token", "POST /token"]


def test_a_refresh_token_from_post_is_used_next(tool, registry, home):
    for repository in ("a", "b"):
        registry.add_manifest(repository, "v1")
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer", token_get=405)
    tool("get", registry.host + "/a:v1", "+", "get", registry.host + "/b:v1").good()
    assert [line for line in registry.lines() if "/token" in line] == ["GET /token", "POST /token", "POST /token"]


@pytest.mark.parametrize("post", [401, 404, 405])
def test_an_identity_token_falls_back_to_get(tool, registry, home, post):
    registry.add_manifest("app", "v1")
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps(
        {"auths": {registry.host: {"auth": base64.b64encode(b"joe:s3cret").decode(), "identitytoken": "refresh-me"}}}))
    registry.reset()
    registry.config(auth="bearer", token_post=post)
    tool("get", registry.host + "/app:v1").good()
    assert [line for line in registry.lines() if "/token" in line] == ["POST /token", "GET /token"]


def test_an_identity_token_is_posted(tool, registry, home):
    registry.add_manifest("app", "v1")
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {registry.host: {"identitytoken": "refresh-me"}}}))
    registry.reset()
    registry.config(auth="bearer", token_get=500)
    tool("get", registry.host + "/app:v1").good()


def test_a_missing_token_server_is_not_a_missing_image(tool, registry):
    registry.config(auth="bearer", token_get=404, token_post=404)
    tool("get", registry.host + "/app:v1").bad(EAUTH, "GET http://%s/token: 404 not found" % registry.host)


def test_a_plain_http_realm_elsewhere_is_refused(tool, registry, home):
    docker_login(home, registry.host)
    registry.config(auth="bearer", challenge=['Bearer realm="http://auth.example/token"'])
    tool("get", registry.host + "/app:v1").bad(EFAIL, "token server of %s: " % registry.host, "plain http: http://auth.example/token: refused")


def test_tokens_and_passwords_are_not_traced(tool, registry, home):
    registry.add_manifest("app", "v1")
    docker_login(home, registry.host)
    registry.config(auth="bearer")
    result = tool("get", registry.host + "/app:v1", env={"IX_TRACE": "all"}).good()
    assert "ix[registry]" in result.err and "s3cret" not in result.err and "Bearer t" not in result.err
    assert base64.b64encode(b"joe:s3cret").decode() not in result.err


# --- where credentials come from ---


def write_helper(tmp_path, name, text):
    where = tmp_path / "bin"
    where.mkdir(exist_ok=True)
    path = where / ("docker-credential-" + name)
    path.write_text("#!/bin/sh\nread server\necho \"$1 $server\" >> %s/helper.log\n%s\n" % (tmp_path, text))
    path.chmod(0o755)
    return {"PATH": "%s:%s" % (where, os.environ["PATH"])}


def test_a_credential_helper_is_asked(tool, registry, home, tmp_path):
    registry.add_manifest("app", "v1")
    registry.config(auth="basic")
    docker_login(home, "other.example", credHelpers={registry.host: "mine"})
    env = write_helper(tmp_path, "mine", 'echo \'{"ServerURL":"x","Username":"joe","Secret":"s3cret"}\'')
    tool("get", registry.host + "/app:v1", env=env).good()
    assert (tmp_path / "helper.log").read_text() == "get %s\n" % registry.host


def test_a_credential_helper_may_give_an_identity_token(tool, registry, home, tmp_path):
    registry.add_manifest("app", "v1")
    registry.config(auth="bearer", token_get=405)
    docker_login(home, "other.example", credsStore="mine")
    env = write_helper(tmp_path, "mine", 'echo \'{"ServerURL":"x","Username":"<token>","Secret":"refresh-me"}\'')
    tool("get", registry.host + "/app:v1", env=env).good()


def test_credentials_not_found_is_no_error(tool, registry, home, tmp_path):
    registry.add_manifest("app", "v1")
    registry.config(auth="bearer", anonymous=True)
    docker_login(home, "other.example", credsStore="mine")
    env = write_helper(tmp_path, "mine", "echo credentials not found in native keychain; exit 1")
    tool("get", registry.host + "/app:v1", env=env).good()


def test_a_helper_that_fails_is_said(tool, registry, home, tmp_path):
    registry.add_manifest("app", "v1")
    registry.config(auth="bearer", anonymous=True)
    docker_login(home, "other.example", credsStore="mine")
    env = write_helper(tmp_path, "mine", "echo no keyring >&2; exit 3")
    tool("get", registry.host + "/app:v1", env=env).bad(EFAIL, "docker-credential-mine get for %s: exit status 3: no keyring" % registry.host)


def test_a_missing_helper_is_said(tool, registry, home):
    registry.config(auth="bearer", anonymous=True)
    docker_login(home, "other.example", credsStore="nowhere")
    tool("get", registry.host + "/app:v1").bad(EFAIL, "credential helper for %s: run docker-credential-nowhere" % registry.host)


def test_registry_auth_file_and_the_longest_path(tool, registry, home, tmp_path):
    registry.add_manifest("team/app", "v1")
    registry.config(auth="basic")
    bad, good = (base64.b64encode(text).decode() for text in (b"joe:wrong", b"joe:s3cret"))
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {
        registry.host: {"auth": bad}, registry.host + "/team/app": {"auth": good}, registry.host + "/team": {"auth": bad}}}))
    tool("get", registry.host + "/team/app:v1", env={"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}).good()


@pytest.mark.parametrize("path,variable", [
    (".config/containers/auth.json", None), ("run/containers/auth.json", "XDG_RUNTIME_DIR"), ("dc/config.json", "DOCKER_CONFIG"),
    ("xdg/containers/auth.json", "XDG_CONFIG_HOME")])
def test_other_places_for_logins(tool, registry, home, path, variable):
    registry.add_manifest("app", "v1")
    registry.config(auth="basic")
    file = home / path
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"auths": {"https://" + registry.host + "/v1/": {"username": "joe", "password": "s3cret"}}}))
    env = {variable: str(home / path.split("/", maxsplit=1)[0])} if variable else {}
    tool("get", registry.host + "/app:v1", env=env).good()


def test_dockercfg_is_read(tool, registry, home):
    registry.add_manifest("app", "v1")
    registry.config(auth="basic")
    (home / ".dockercfg").write_text(json.dumps({registry.host: {"auth": base64.b64encode(b"joe:s3cret").decode()}}))
    tool("get", registry.host + "/app:v1").good()


def test_a_named_docker_config_is_the_only_one(tool, registry, home, tmp_path):
    registry.add_manifest("app", "v1")
    registry.config(auth="basic")
    docker_login(home, registry.host)
    tool("--docker-config", tmp_path, "get", registry.host + "/app:v1").bad(EAUTH)
    tool("--docker-config", home / ".docker", "get", registry.host + "/app:v1").good()


def test_broken_config_json_says_where(tool, registry, home):
    registry.config(auth="basic")
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text('{"auths": {\n  "x": }}')
    tool("get", registry.host + "/app:v1").bad(2, "%s/.docker/config.json:2:" % home)


def test_a_registry_token_is_used_as_it_is(tool, registry, home):
    registry.add_manifest("app", "v1")
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {registry.host: {"registrytoken": "abc"}}}))
    registry.reset()
    registry.config(auth="bearer")
    tool("get", registry.host + "/app:v1").bad(EAUTH)
    assert registry.log()[1]["authorization"] == "Bearer abc" and registry.count("GET", "/token") == 0


# --- mirrors ---


def with_mirror(registry, mirror, prefix=""):
    return ("--host", registry.host, "--mirror", mirror.host + prefix)


def test_a_mirror_is_asked_first(tool, registry, mirror, tmp_path):
    data = noise(100000)
    for one in (registry, mirror):
        one.add_manifest("app", "v1")
        one.add_blob("app", data)
        one.reset()
    tool(*with_mirror(registry, mirror), "head", registry.host + "/app:v1", "+", "get", registry.host + "/app:v1", "+", "blob",
         registry.host + "/app", sha(data), len(data), tmp_path / "out").good()
    assert len(mirror.log()) == 3 and registry.log() == []


@pytest.mark.parametrize("rule", [{"status": 404}, {"status": 500}, {"status": 503}, {"status": 429}, {"status": 401}, {"status": 403},
                                  {"drop": True}])
def test_a_mirror_that_fails_is_passed_over_at_once(tool, registry, mirror, tmp_path, rule):
    data = noise(100000)
    registry.add_manifest("app", "v1")
    registry.add_blob("app", data)
    registry.reset()
    mirror.reset()
    mirror.config(rules=[{"times": 99, **rule}])
    start = time.time()
    result = tool(*with_mirror(registry, mirror), "head", registry.host + "/app:v1", "+", "get", registry.host + "/app:v1", "+", "blob",
                  registry.host + "/app", sha(data), len(data), tmp_path / "out").good()
    assert " 0 sha256:" in result.out
    assert time.time() - start < 30
    assert len(registry.log()) == 3 and len(mirror.log()) >= 3


def test_a_mirror_that_is_down_is_left_alone(tool, registry):
    registry.add_manifest("app", "v1")
    ref = registry.host + "/app:v1"
    result = tool("--host", registry.host, "--mirror", "127.0.0.1:%d" % free_port(), "get", ref, "+", "get", ref, "+", "head", ref, ref).good()
    assert result.requests == 5


def test_a_mirror_that_hangs_is_passed_over(tool, registry, mirror):
    registry.add_manifest("app", "v1")
    mirror.config(rules=[{"times": 9, "delay": 8}])
    start = time.time()
    tool("--timeout-s", "1", *with_mirror(registry, mirror), "get", registry.host + "/app:v1").good()
    assert time.time() - start < 30


def test_a_blob_goes_on_at_the_registry_when_the_mirror_breaks(tool, registry, mirror, tmp_path):
    data = noise(1 << 20)
    for one in (registry, mirror):
        one.add_blob("app", data)
        one.reset()
    mirror.config(cut_blob_at=300000, cut_times=9)
    tool(*with_mirror(registry, mirror), "blob", registry.host + "/app", sha(data), len(data), tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == data
    assert registry.log()[0]["range"] == "bytes=300000-"


def test_a_mirror_with_a_wrong_manifest_is_passed_over(tool, registry, mirror):
    for one in (registry, mirror):
        digest = one.add_manifest("app", "v1")
    mirror.config(corrupt_manifests=True)
    assert tool(*with_mirror(registry, mirror), "get", registry.host + "/app@" + digest).good().out.startswith(digest)


def test_a_mirror_may_have_a_prefix(tool, registry, mirror):
    mirror.add_manifest("proxy/hub/app", "v1")
    mirror.reset()
    tool(*with_mirror(registry, mirror, "/proxy/hub"), "get", registry.host + "/app:v1").good()
    assert mirror.lines() == ["GET /v2/proxy/hub/app/manifests/v1"]


def test_credentials_go_to_the_host_they_are_for(tool, registry, mirror, home):
    for one in (registry, mirror):
        one.add_manifest("app", "v1")
        one.reset()
        one.config(auth="basic")
    mirror.config(password="other")
    docker_login(home, registry.host)
    tool(*with_mirror(registry, mirror), "get", registry.host + "/app:v1").good()
    assert {entry["authorization"] for entry in mirror.log()} == {None}
    mirror.reset()
    registry.reset()
    mirror.config(auth="basic", password="other")
    tool(*with_mirror(registry, mirror), "--host", mirror.host, "--user", "joe", "--password", "other", "get", registry.host + "/app:v1").good()
    assert registry.log() == []


def test_pushes_and_tags_do_not_use_mirrors(tool, registry, mirror, tmp_path):
    mirror.reset()
    registry.add_manifest("app", "v1")
    path = blob_file(tmp_path, b"some bytes")
    tool(*with_mirror(registry, mirror), "put", registry.host + "/app", path, "+", "tags", registry.host + "/app", "+", "put-manifest",
         registry.host + "/app:v9", path, MANIFEST, "+", "has", registry.host + "/app", sha(b"some bytes")).good()
    assert mirror.log() == []


@pytest.mark.parametrize("mirror_name", ["http://m.example", "m.example/UP", "m example", "/x", ""])
def test_a_bad_mirror_is_named(tool, mirror_name):
    tool("--host", "registry.example", "--mirror", mirror_name, "head").bad(2, "mirror '%s' of registry.example: write host[:port][/prefix]"
                                                                            % mirror_name)


# --- batches ---


@pytest.mark.threads
def test_fifty_heads_at_once(tool, registry):
    digests = [registry.add_manifest("app", "tag%d" % n) for n in range(50)]
    registry.reset()
    registry.config(latency=0.1)
    start = time.time()
    refs = ["%s/app:tag%d" % (registry.host, n) for n in range(50)]
    result = tool("--connections", "10", "head", *refs).good()
    assert result.out == "".join("%s: 0 %s %s\n" % (ref, digest, MANIFEST) for ref, digest in zip(refs, digests))
    assert time.time() - start < 30
    assert result.requests == 50
    assert len({entry["connection"] for entry in registry.log()}) <= 11


@pytest.mark.threads
def test_fifty_heads_with_tokens_of_many_repositories(tool, registry, home):
    for n in range(50):
        registry.add_manifest("app%d" % (n % 10), "tag%d" % n)
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer", latency=0.1)
    start = time.time()
    result = tool("head", *["%s/app%d:tag%d" % (registry.host, n % 10, n) for n in range(50)]).good()
    assert result.out.count(": 0 sha256:") == 50
    assert registry.count("GET", "/token") == 10
    assert result.requests == 1 + 10 + 50
    assert time.time() - start < 30


def test_a_batch_reports_each_failure_by_itself(tool, registry):
    digest = registry.add_manifest("app", "v1")
    port = free_port()
    out = tool("head", registry.host + "/app:v1", registry.host + "/app:none", "127.0.0.1:%d/app:v1" % port).good().out.splitlines()
    assert out[0].endswith(" 0 %s %s" % (digest, MANIFEST))
    assert ": -%d HEAD" % ENOTFOUND in out[1] and ": -%d HEAD" % EFAIL in out[2]


def test_a_server_that_is_down_is_tried_once_for_a_batch(tool):
    host = "127.0.0.1:%d" % free_port()
    result = tool("head", *["%s/app:v%d" % (host, n) for n in range(30)]).good()
    lines = result.out.splitlines()
    assert len(lines) == 30 and "HEAD http://%s/v2/app/manifests/v29: " % host in lines[29] and "onnect" in lines[29]
    assert result.requests == 3
    start = time.time()
    result = tool("--host", host, "--insecure", "yes", "head", *["%s/app:v%d" % (host, n) for n in range(30)]).good()
    assert result.requests == 2 and time.time() - start < 30


def test_a_batch_over_http2_with_a_private_ca(tool, docker_registry, certificates, tmp_path):
    registry = docker_registry(certificates=certificates)
    options = ("--host", registry.host, "--ca", certificates / "ca.pem")
    layer = noise(9 << 20)
    ref = registry.host + "/tls/app"
    result = tool(*options, "head", *["%s:v%d" % (ref, n) for n in range(50)], "+", "put", ref, blob_file(tmp_path, layer), "+", "blob", ref,
                  sha(layer), len(layer), tmp_path / "out", env={"IX_TRACE": "registry"}).good()
    assert result.out.count(": -%d HEAD https://" % ENOTFOUND) == 50
    assert (tmp_path / "out").read_bytes() == layer


@pytest.mark.threads
def test_a_batch_falls_through_mirrors_one_by_one(tool, registry, mirror):
    for n in range(10):
        (mirror if n % 2 else registry).add_manifest("mix", "t%d" % n)
    registry.reset()
    mirror.reset()
    result = tool(*with_mirror(registry, mirror), "head", *["%s/mix:t%d" % (registry.host, n) for n in range(10)]).good()
    assert result.out.count(": 0 sha256:") == 10
    assert len(mirror.log()) == 10 and len(registry.log()) == 5


@pytest.mark.threads
def test_a_batch_retries_what_failed(tool, registry):
    for n in range(10):
        registry.add_manifest("app", "tag%d" % n)
    registry.reset()
    registry.config(rules=[{"times": 4, "status": 503, "skip": 2}])
    result = tool("head", *["%s/app:tag%d" % (registry.host, n) for n in range(10)]).good()
    assert result.out.count(": 0 sha256:") == 10 and len(registry.log()) == 14


def test_a_connection_is_used_again(tool, registry):
    registry.add_manifest("app", "v1")
    registry.reset()
    tool("get", registry.host + "/app:v1", "+", "get", registry.host + "/app:v1", "+", "head", registry.host + "/app:v1").good()
    assert len({entry["connection"] for entry in registry.log()}) == 1


# --- blobs and manifests out ---


def test_put_posts_once_and_puts_once(tool, registry, tmp_path):
    data = noise(3 << 20)
    for location in ("absolute", "relative"):
        registry.reset()
        registry.config(location=location)
        result = tool("put", "%s/up%s" % (registry.host, location), blob_file(tmp_path, data)).good()
        assert result.out == "uploaded %s\n" % sha(data)
        assert [entry["method"] for entry in registry.log()] == ["HEAD", "POST", "PUT"]
        assert registry.log()[2]["length"] == str(len(data)) and result.up == len(data)
        assert registry.log()[2]["query"] == {"_state": ["a/b"], "x": ["1"], "digest": [sha(data)]}


def test_put_of_an_empty_blob(tool, registry, tmp_path):
    assert tool("put", registry.host + "/empty", blob_file(tmp_path, b"")).good().out == "uploaded %s\n" % sha(b"")


def test_put_of_what_is_there_sends_nothing(tool, registry, tmp_path):
    data = noise(100000)
    registry.add_blob("app", data)
    registry.reset()
    assert tool("put", registry.host + "/app", blob_file(tmp_path, data)).good().out.startswith("existed ")
    assert [entry["method"] for entry in registry.log()] == ["HEAD"]


def test_put_mounts_from_a_sibling(tool, registry, tmp_path, home):
    data = noise(100001)
    registry.add_blob("base", data)
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer")
    result = tool("put", registry.host + "/mounted", blob_file(tmp_path, data), "base").good()
    assert result.out.startswith("mounted ") and result.up == 0
    post = [entry for entry in registry.log() if entry["method"] == "POST"][0]
    assert post["query"] == {"mount": [sha(data)], "from": ["base"]}
    scopes = [entry["query"]["scope"] for entry in registry.log() if entry["path"] == "/token"]
    assert scopes[-1] == ["repository:mounted:pull,push", "repository:base:pull"]


def test_put_goes_on_when_mounting_does_not_work(tool, registry, tmp_path):
    data = noise(100002)
    registry.reset()
    registry.config(mount=False)
    result = tool("put", registry.host + "/m1", blob_file(tmp_path, data), "base").good()
    assert result.out.startswith("uploaded ")
    assert [entry["method"] for entry in registry.log()] == ["HEAD", "POST", "PUT"]
    registry.reset()
    registry.config(rules=[{"method": "POST", "status": 405}])
    assert tool("put", registry.host + "/m2", blob_file(tmp_path, data), "base").good().out.startswith("uploaded ")
    assert [entry["method"] for entry in registry.log()] == ["HEAD", "POST", "POST", "PUT"]


def test_put_that_broke_is_continued(tool, registry, tmp_path):
    data = noise(6 << 20)
    registry.reset()
    registry.config(cut_put_at=4 << 20, cut_put_times=1)
    result = tool("put", registry.host + "/resumed", blob_file(tmp_path, data)).good()
    assert result.out.startswith("uploaded ")
    assert [entry["method"] for entry in registry.log()] == ["HEAD", "POST", "PUT", "HEAD", "GET", "PATCH", "PUT"]
    assert registry.log()[5]["content_range"] == "%d-%d" % (4 << 20, len(data) - 1)
    assert registry.log()[6]["length"] == "0"


def test_put_that_broke_begins_anew_without_status(tool, registry, tmp_path):
    data = noise(6 << 20, 8)
    registry.reset()
    registry.config(cut_put_at=4 << 20, cut_put_times=1, upload_status=False)
    tool("put", registry.host + "/again", blob_file(tmp_path, data)).good()
    assert [entry["method"] for entry in registry.log()] == ["HEAD", "POST", "PUT", "HEAD", "GET", "POST", "PUT"]


def test_put_whose_answer_was_lost_is_found(tool, registry, tmp_path):
    data = noise(2 << 20, 9)
    registry.reset()
    registry.config(lose_put_answer=1)
    tool("put", registry.host + "/lost", blob_file(tmp_path, data)).good()
    assert [entry["method"] for entry in registry.log()] == ["HEAD", "POST", "PUT", "HEAD"]


def test_put_after_503_begins_anew(tool, registry, tmp_path):
    data = noise(100003)
    registry.reset()
    registry.config(rules=[{"method": "PUT", "status": 503, "times": 2}])
    tool("put", registry.host + "/busy", blob_file(tmp_path, data)).good()
    assert [entry["method"] for entry in registry.log()].count("PUT") == 3


def test_put_ends_when_nothing_helps(tool, registry, tmp_path):
    registry.reset()
    registry.config(rules=[{"method": "PUT", "status": 503, "times": 99}])
    tool("--retry-s", "2", "put", registry.host + "/never", blob_file(tmp_path, b"x" * 1000)).bad(EFAIL, "PUT http://", "503 unavailable")
    assert len(registry.log()) < 30


def test_put_of_a_refused_blob_is_not_repeated(tool, registry, tmp_path):
    registry.reset()
    registry.config(rules=[{"method": "PUT", "status": 413, "body": "too big"}])
    tool("put", registry.host + "/big", blob_file(tmp_path, b"x" * 1000)).bad(EFAIL, "413 too large: too big")
    assert [entry["method"] for entry in registry.log()] == ["HEAD", "POST", "PUT"]


def test_put_checks_the_digest_of_the_answer(tool, registry, tmp_path):
    registry.config(wrong_digest="sha256:" + "1" * 64)
    tool("put", registry.host + "/lying", blob_file(tmp_path, b"y" * 1000)).bad(ECORRUPT, "the registry says the blob is sha256:1111")


def test_put_renews_its_token_when_the_put_is_refused(tool, registry, tmp_path, home):
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer", rules=[{"method": "PUT", "status": 401}])
    tool("put", registry.host + "/expired", blob_file(tmp_path, noise(100004))).good()
    assert registry.count("GET", "/token") == 2


def test_put_to_another_host_carries_no_authorization(tool, registry, tmp_path, home):
    docker_login(home, registry.host)
    registry.reset()
    registry.config(auth="bearer", location="cdn")
    tool("put", registry.host + "/elsewhere", blob_file(tmp_path, noise(100005))).good()
    assert [entry["authorization"] for entry in registry.log("cdn")] == [None]


@pytest.mark.threads
def test_put_of_one_blob_from_four_threads_uploads_once(tool, registry, tmp_path):
    registry.reset()
    registry.config(latency=0.05)
    result = tool("put4", registry.host + "/flight", blob_file(tmp_path, noise(200001))).good()
    assert sorted(line.split()[0] for line in result.out.splitlines()) == ["existed"] * 3 + ["uploaded"]
    assert [entry["method"] for entry in registry.log()].count("PUT") == 1


def test_put_without_permission_says_so(tool, registry, tmp_path):
    registry.config(auth="bearer", anonymous=True)
    tool("put", registry.host + "/app", blob_file(tmp_path, b"zzz")).bad(EAUTH, "log in to " + registry.host)


def test_put_manifest(tool, registry, tmp_path):
    data = b'{"schemaVersion":2}'
    tool("put-manifest", registry.host + "/app:new", blob_file(tmp_path, data), MANIFEST).good()
    assert tool("get", registry.host + "/app:new").good().out.startswith("%s %s %d\n" % (sha(data), MANIFEST, len(data)))


def test_put_manifest_is_tried_again(tool, registry, tmp_path):
    registry.reset()
    registry.config(rules=[{"method": "PUT", "status": 502}, {"method": "PUT", "drop": True}])
    tool("put-manifest", registry.host + "/app:again", blob_file(tmp_path, b'{"a":1}'), MANIFEST).good()
    assert registry.lines().count("PUT /v2/app/manifests/again") == 3


def test_put_manifest_checks_digests(tool, registry, tmp_path):
    registry.config(wrong_digest="sha256:" + "2" * 64)
    path = blob_file(tmp_path, b'{"b":1}')
    tool("put-manifest", registry.host + "/app:lie", path, MANIFEST).bad(ECORRUPT, "the registry says the manifest is sha256:2222")
    tool("put-manifest", registry.host + "/app@sha256:" + "3" * 64, path, MANIFEST).bad(ECORRUPT, "its bytes are " + sha(b'{"b":1}'))


def test_an_immutable_tag_with_the_same_manifest_is_success(tool, registry, tmp_path):
    path = blob_file(tmp_path, b'{"c":1}')
    registry.config(immutable=True)
    tool("put-manifest", registry.host + "/app:fixed", path, MANIFEST).good()
    tool("put-manifest", registry.host + "/app:fixed", path, MANIFEST).good()
    tool("put-manifest", registry.host + "/app:fixed", blob_file(tmp_path, b'{"c":2}'), MANIFEST).bad(EFAIL, "TAG_INVALID: the tag is immutable")


def test_has_blob(tool, registry):
    digest = registry.add_blob("app", b"here")
    tool("has", registry.host + "/app", digest).good()
    tool("has", registry.host + "/app", sha(b"not here")).bad(ENOTFOUND)


# --- https, and the real thing ---


def test_proxies_of_the_environment_are_not_for_loopback(tool, registry):
    registry.add_manifest("app", "v1")
    tool("get", registry.host + "/app:v1", env={"http_proxy": "http://127.0.0.1:%d" % free_port()}).good()


def test_https_with_a_private_ca(tool, docker_registry, certificates, tmp_path):
    registry = docker_registry(certificates=certificates)
    options = ("--host", registry.host, "--ca", certificates / "ca.pem")
    config = blob_file(tmp_path, b"{}", "config")
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(b"{}"), "size": 2}}).encode()
    ref = registry.host + "/tls/app:v1"
    result = tool(*options, "put", ref, config, "+", "put-manifest", ref, blob_file(tmp_path, manifest, "manifest"), MANIFEST, "+", "head", ref,
                  "+", "get", ref).good()
    assert ": 0 %s %s" % (sha(manifest), MANIFEST) in result.out


def test_https_without_its_ca_says_what_to_do(tool, docker_registry, certificates, tmp_path):
    registry = docker_registry(certificates=certificates)
    tool("get", registry.host + "/tls/app:v1").bad(EFAIL, "400 bad request", "it speaks https: give its CA file under registries: in ix.yaml")
    other = certificates / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", tmp_path / "k",
                    "-out", other, "-days", "1", "-subj", "/CN=other"], check=True, stderr=subprocess.DEVNULL)
    tool("--host", registry.host, "--ca", other, "get", registry.host + "/tls/app:v1").bad(
        EFAIL, "certificate", "give its CA file under registries: in ix.yaml")


def test_insecure_takes_any_certificate_and_plain_http(tool, registry, docker_registry, certificates):
    secure = docker_registry(certificates=certificates)
    tool("--host", secure.host, "--insecure", "yes", "get", secure.host + "/tls/app:v1").bad(ENOTFOUND, "GET https://%s/" % secure.host)
    registry.add_manifest("app", "v1")
    tool("--host", registry.host, "--insecure", "yes", "get", registry.host + "/app:v1").good()


def test_https_is_tried_first_with_a_ca_and_plain_http_then(tool, registry, certificates):
    registry.add_manifest("app", "v1")
    tool("--host", registry.host, "--ca", certificates / "ca.pem", "get", registry.host + "/app:v1").good()


def test_a_ca_file_that_is_none_is_said(tool, registry, tmp_path):
    tool("--host", registry.host, "--ca", blob_file(tmp_path, b"hello"), "head").bad(2, "registry %s: CA file" % registry.host, "not a PEM")
    tool("--host", registry.host, "--ca", tmp_path / "none", "head").bad(ENOTFOUND, "registry %s: CA file" % registry.host)


def test_certs_d_of_the_user(tool, docker_registry, certificates, home):
    registry = docker_registry(certificates=certificates)
    where = home / ".config" / "containers" / "certs.d" / registry.host
    where.mkdir(parents=True)
    shutil.copy(certificates / "ca.pem", where / "ca.crt")
    tool("get", registry.host + "/tls/app:v1").bad(ENOTFOUND, "GET https://")


def test_a_location_with_http_behind_https_is_mended(tool, certificates, tmp_path):
    registry = Registry(str(certificates / "server.pem"), str(certificates / "server.key"))
    try:
        registry.config(location="http")
        result = tool("--host", registry.host, "--ca", certificates / "ca.pem", "put", registry.host + "/app", blob_file(tmp_path, b"abc"))
        assert result.good().out.startswith("uploaded ")
    finally:
        registry.stop()


def test_an_upload_over_tls_that_broke_is_continued(tool, certificates, tmp_path):
    data = noise(6 << 20)
    registry = Registry(str(certificates / "server.pem"), str(certificates / "server.key"))
    try:
        registry.config(cut_put_at=4 << 20, cut_put_times=1)
        result = tool("--host", registry.host, "--ca", certificates / "ca.pem", "put", registry.host + "/app", blob_file(tmp_path, data))
        assert result.good().out.startswith("uploaded ")
        assert "PATCH" in [entry["method"] for entry in registry.log()]
    finally:
        registry.stop()


def test_docker_registry_takes_an_upload_that_broke(tool, docker_registry, tmp_path):
    registry = docker_registry()
    data = noise(12 << 20)
    proxy = CuttingProxy(registry.port, 5 << 20)
    try:
        ref = proxy.host + "/app"
        assert tool("put", ref, blob_file(tmp_path, data)).good().out.startswith("uploaded ")
        assert proxy.cuts == 1
        tool("blob", registry.host + "/app", sha(data), len(data), tmp_path / "out").good()
        assert (tmp_path / "out").read_bytes() == data
    finally:
        proxy.stop()


def test_an_upload_that_stalls_is_given_up_and_begun_anew(tool, docker_registry, tmp_path):
    proxy = CuttingProxy(docker_registry().port, 5 << 20, mute=True)
    try:
        tool("--timeout-s", "2", "put", proxy.host + "/app", blob_file(tmp_path, noise(12 << 20))).good()
        assert proxy.cuts == 1
    finally:
        proxy.stop()


def test_docker_registry_with_htpasswd(tool, docker_registry, tmp_path, home):
    passwords = tmp_path / "htpasswd"
    subprocess.run(["htpasswd", "-Bbc", "-C", "5", str(passwords), "joe", "s3cret"], check=True, stderr=subprocess.DEVNULL)
    registry = docker_registry(htpasswd=passwords)
    path = blob_file(tmp_path, noise(300000))
    tool("put", registry.host + "/a/b", path).bad(EAUTH, "log in to " + registry.host)
    docker_login(home, registry.host)
    assert tool("put", registry.host + "/a/b", path).good().out.startswith("uploaded ")
    assert tool("put", registry.host + "/a/b", path).good().out.startswith("existed ")
    assert tool("put", registry.host + "/c/d", path, "a/b").good().out.startswith("mounted ")


def test_docker_registry_round_trip(tool, docker_registry, tmp_path):
    registry = docker_registry()
    layer = noise(9 << 20)
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(b"{}"), "size": 2},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha(layer), "size": len(layer)}]}
    data = json.dumps(manifest, indent=1).encode()
    ref = registry.host + "/team/app"
    result = tool("put", ref, blob_file(tmp_path, b"{}", "c"), "+", "put", ref, blob_file(tmp_path, layer, "l"), "+", "put-manifest", ref + ":v1",
                  blob_file(tmp_path, data, "m"), MANIFEST, "+", "tags", ref, "+", "get", ref + ":v1", "+", "get", ref + "@" + sha(data), "+",
                  "blob", ref, sha(layer), len(layer), tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == layer
    assert "\nv1\n" in result.out and result.up == 2 + len(layer) + len(data)
    out = tool("head", *["%s:v%d" % (ref, n % 2) for n in range(50)]).good().out
    assert out.count(": 0 " + sha(data)) == 25 and out.count(": -%d HEAD" % ENOTFOUND) == 25


def test_docker_registry_refuses_a_manifest_without_its_blobs(tool, docker_registry, tmp_path):
    registry = docker_registry()
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(b"{}"), "size": 2}}
    path = blob_file(tmp_path, json.dumps(manifest).encode())
    tool("put-manifest", registry.host + "/app:v1", path, MANIFEST).bad(ENOTFOUND, "MANIFEST_BLOB_UNKNOWN")
