#!/usr/bin/env python3
"""A small in-memory OCI registry that misbehaves on request.

It prints "<port> <second port>" and serves until its standard input ends. The second port stands for a blob CDN: it answers 400 to any request
that carries Authorization. Everything is steered over HTTP:

  PUT  /_config   JSON object merged into the options below
  GET  /_log      every request so far: method, path, query, authorization, range, where ("main" or "cdn")
  POST /_reset    empty log and rules, default options; contents stay
  POST /_forget   {"repository": ..., "what": tag or digest}: it is gone
  POST /_flip     the same: one bit of it is another
  POST /_rule     one more rule
  POST /_heal     {"repository": ...}: no rules any more whose path names it
  POST /_copy     {"from": ..., "to": ...}: a repository's contents are another's too

Rules ("rules" option) are looked at before anything else: {"method": "GET", "path": "/v2/.*", "times": 2, "skip": 0, "status": 503,
"headers": {...}, "body": "...", "drop": true, "corrupt": true, "delay": 1.5, "drip": 0.05, "after": 0}. The first that matches and has times left answers; drop closes the
connection; drip sends the answer byte by byte, that many seconds apart, once after bytes have gone; a rule with only a delay goes on to the real answer, and corrupt to one with another bit.
"""
import argparse
import base64
import hashlib
import json
import re
import secrets
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

DEFAULTS = {
    "auth": "none",             # none, basic, bearer
    "user": "joe",
    "password": "s3cret",
    "refresh": "refresh-me",    # identity token the token server accepts
    "anonymous": False,         # bearer: anonymous tokens may pull
    "token_lifetime": 300,
    "token_field": "token",     # or access_token
    "token_get": 200,           # status of GET /token; 200: works
    "token_post": 200,          # status of POST /token; 200: works
    "token_valid": True,        # false: tokens are handed out and refused
    "challenge": None,          # list of WWW-Authenticate values instead of the right one
    "challenge_only_at_root": False,
    "challenge_scope": True,    # name the scope in the challenge
    "scope_prefix": "",         # the scope wanted is for this prefix and the repository
    "redirect_blobs": None,     # None, "cdn", or a URL prefix
    "cut_blob_at": 0,           # close the connection after that many bytes of a blob's body ...
    "cut_times": 0,             # ... so many times
    "ignore_range": False,
    "wrong_range": False,
    "corrupt_blobs": False,
    "corrupt_manifests": False,
    "wrong_digest": None,       # Docker-Content-Digest to send instead
    "digest_header": True,
    "latency": 0,
    "slow": 0,                  # seconds between 16 KiB pieces of a blob
    "mount": True,
    "location": "absolute",     # absolute, relative, cdn
    "cut_put_at": 0,            # read so many bytes of a PUT's body, keep them, close the connection ...
    "cut_put_times": 0,
    "lose_put_answer": 0,       # commit, then close without an answer, so many times
    "warnings": [],             # Warning: values of every answer
    "body_limit": 0,            # the most that a PUT or PATCH may bring, as a proxy before the registry has it; 0: anything
    "chunk_min": 0,             # OCI-Chunk-Min-Length
    "keep_at_most": 0,          # of a PATCH so many bytes are kept
    "upload_status": True,      # GET of an upload is answered
    "immutable": False,         # tags cannot be written twice
    "strict": False,            # a manifest's blobs have to be there
    "page": 0,                  # tags per page; 0: all
    "link": "relative",
    "rules": [],
}


class State:
    def __init__(self):
        self.lock = threading.RLock()
        self.options = dict(DEFAULTS)
        self.log = []
        self.blobs = {}
        self.manifests = {}
        self.uploads = {}
        self.tokens = {}
        self.issued = 0

    def reset(self):
        with self.lock:
            self.options = dict(DEFAULTS)
            self.options["rules"] = []
            self.log = []
            self.tokens = {}

    def take_times(self, name):
        with self.lock:
            if self.options[name] <= 0:
                return False
            self.options[name] -= 1
            return True


STATE = State()
PORTS = {}


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def manifest_blobs(data):
    manifest = json.loads(data)
    return [d["digest"] for d in [manifest.get("config")] + manifest.get("layers", []) if d]


class Drip:
    """What is written gets there byte by byte, once so many have gone."""

    def __init__(self, to, seconds, after):
        self.to, self.seconds, self.after, self.closed = to, seconds, after, False

    def write(self, data):
        self.to.write(data[:self.after])
        for byte in data[self.after:]:
            self.to.flush()
            time.sleep(self.seconds)
            self.to.write(bytes([byte]))
        self.after = max(0, self.after - len(data))

    def flush(self):
        self.to.flush()

    def close(self):
        self.to.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    where = "main"
    corrupt = False  # this answer
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    # --- plumbing ---

    def reply(self, status, body=b"", headers=None, head=False):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        self.drain()
        self.send_response(status)
        for name, value in (headers or {}).items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name, one)
        for one in self.opt("warnings"):
            self.send_header("Warning", one)
        if not any(name.lower() == "content-length" for name in headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head and self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, message, headers=None):
        self.reply(status, {"errors": [{"code": code, "message": message}]}, {"Content-Type": "application/json", **(headers or {})})

    def drain(self):
        left = self.left
        while left > 0:
            got = self.rfile.read(min(left, 1 << 16))
            if not got:
                break
            left -= len(got)
        self.left = 0

    def body(self):
        data = self.rfile.read(self.left)
        self.left = 0
        return data

    def drop(self):
        self.close_connection = True
        try:
            self.connection.shutdown(2)
        except OSError:
            pass

    def opt(self, name):
        return STATE.options[name]

    def base(self):
        scheme = "https" if PORTS["tls"] else "http"
        return "%s://%s" % (scheme, self.headers.get("Host", "127.0.0.1:%d" % PORTS["main"]))

    def handle_any(self):
        url = urlsplit(self.path)
        self.url_path = url.path
        self.query = {key: values for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        self.left = int(self.headers.get("Content-Length") or 0)
        self.corrupt = False
        if self.url_path.startswith("/_"):
            return self.control()
        with STATE.lock:
            STATE.log.append({
                "where": self.where, "method": self.command, "path": self.url_path, "query": self.query,
                "authorization": self.headers.get("Authorization"), "range": self.headers.get("Range"),
                "content_range": self.headers.get("Content-Range"), "length": self.headers.get("Content-Length"),
                "connection": "%s:%d" % self.client_address[:2], "at": time.time(),
            })
        limit = self.opt("body_limit")
        if limit and self.left > limit and self.command in ("PUT", "PATCH"):
            self.close_connection = True
            return self.reply(413, b"<html>Request Entity Too Large</html>")
        if self.opt("latency"):
            time.sleep(self.opt("latency"))
        if self.apply_rules():
            return None
        if self.where == "cdn":
            return self.cdn()
        if self.url_path == "/token":
            return self.token()
        return self.distribution()

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

    def control(self):
        with STATE.lock:
            if self.url_path == "/_log":
                return self.reply(200, STATE.log)
            if self.url_path == "/_config":
                STATE.options.update(json.loads(self.body()))
                return self.reply(200, STATE.options)
            if self.url_path == "/_rule":
                STATE.options["rules"] = STATE.options["rules"] + [json.loads(self.body())]
                return self.reply(200)
            if self.url_path == "/_heal":
                named = re.compile(r"/%s[/-]" % re.escape(json.loads(self.body())["repository"]))
                STATE.options["rules"] = [r for r in STATE.options["rules"] if not named.search(r.get("path", "").replace("\\", ""))]
                return self.reply(200)
            if self.url_path == "/_copy":
                return self.copy(json.loads(self.body()))
            if self.url_path in ("/_forget", "/_flip"):
                return self.damage(json.loads(self.body()))
            if self.url_path == "/_reset":
                STATE.reset()
                return self.reply(200)
        return self.reply(404)

    def copy(self, what):
        for contents in (STATE.blobs, STATE.manifests):
            for (repository, name), data in list(contents.items()):
                if repository == what["from"] or repository.startswith(what["from"] + "/"):
                    contents[(what["to"] + repository[len(what["from"]):], name)] = data
        return self.reply(200)

    def damage(self, where):
        key = (where["repository"], where["what"])
        for contents in (STATE.blobs, STATE.manifests):
            if key in contents and self.url_path == "/_forget":
                del contents[key]
            elif key in contents:
                contents[key] = flipped(contents[key]) if contents is STATE.blobs else (flipped(contents[key][0]), contents[key][1])
        return self.reply(200)

    def apply_rules(self):
        with STATE.lock:
            rule = None
            for one in self.opt("rules"):
                if one.get("method", self.command) != self.command or not re.fullmatch(one.get("path", ".*"), self.url_path):
                    continue
                if one.get("where", self.where) != self.where or one.get("times", 1) <= 0:
                    continue
                if one.get("skip", 0) > 0:
                    one["skip"] -= 1
                    continue
                one["times"] = one.get("times", 1) - 1
                rule = dict(one)
                break
        if not rule:
            return False
        if rule.get("delay"):
            time.sleep(rule["delay"])
        if rule.get("drop"):
            self.drop()
            return True
        if rule.get("drip"):
            self.close_connection = True
            self.wfile = Drip(self.wfile, rule["drip"], rule.get("after", 0))
        self.corrupt = rule.get("corrupt", False)
        if "status" not in rule:
            return False
        self.reply(rule["status"], rule.get("body", "").encode(), rule.get("headers"))
        return True

    # --- authorization ---

    def token(self):
        data = self.body()
        form = parse_qs(data.decode()) if self.command == "POST" else self.query
        status = self.opt("token_post" if self.command == "POST" else "token_get")
        if status != 200:
            return self.reply(status, b"not here")
        user = None
        if self.command == "POST":
            grant = form.get("grant_type", [""])[0]
            good = (grant == "password" and form.get("username") == [self.opt("user")] and form.get("password") == [self.opt("password")]) or (
                grant == "refresh_token" and form.get("refresh_token") == [self.opt("refresh")])
            if not good:
                return self.reply(401, {"error": "invalid_grant", "error_description": "no such grant"})
            user = self.opt("user")
        elif self.headers.get("Authorization"):
            if not self.basic_ok():
                return self.reply(401, {"details": "incorrect username or password"})
            user = self.opt("user")
        scopes = [scope for text in form.get("scope", []) for scope in text.split(" ")]
        if user is None and not self.opt("anonymous"):
            scopes = []
        elif user is None:
            scopes = [scope.replace(",push", "") for scope in scopes]
        with STATE.lock:
            STATE.issued += 1
            token = "t%d-%s" % (STATE.issued, secrets.token_hex(8))
            STATE.tokens[token] = (scopes, time.time() + self.opt("token_lifetime"))
        answer = {self.opt("token_field"): token, "expires_in": self.opt("token_lifetime")}
        if self.command == "POST" and form.get("access_type") == ["offline"]:
            answer["refresh_token"] = self.opt("refresh")
        return self.reply(200, answer, {"Content-Type": "application/json"})

    def basic_ok(self):
        want = base64.b64encode(("%s:%s" % (self.opt("user"), self.opt("password"))).encode()).decode()
        return self.headers.get("Authorization") == "Basic " + want

    def bearer_ok(self, repository, action):
        header = self.headers.get("Authorization") or ""
        scopes, end = STATE.tokens.get(header[len("Bearer "):], ((), 0)) if header.startswith("Bearer ") else ((), 0)
        if end < time.time() or not self.opt("token_valid"):
            return False
        if repository is None:
            return True
        want = "repository:%s%s:" % (self.opt("scope_prefix"), repository)
        return any(scope.startswith(want) and action in scope[len(want):].split(",") for scope in scopes)

    def authorized(self, repository, action):
        kind = self.opt("auth")
        if kind == "none" or (kind == "basic" and self.basic_ok()) or (kind == "bearer" and self.bearer_ok(repository, action)):
            return True
        challenge = self.opt("challenge")
        if challenge is None and kind == "basic":
            challenge = ['Basic realm="a test, \\"quoted\\""']
        elif challenge is None:
            scope = ""
            if repository and self.opt("challenge_scope"):
                scope = ',scope="repository:%s%s:%s"' % (self.opt("scope_prefix"), repository, "pull,push" if action == "push" else "pull")
            challenge = ['Bearer realm="%s/token",service="test registry"%s' % (self.base(), scope)]
        if self.opt("challenge_only_at_root") and repository is not None:
            challenge = []
        self.error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})
        return False

    # --- the distribution API ---

    def distribution(self):
        if self.url_path in ("/v2", "/v2/"):
            return self.reply(200, b"{}") if self.authorized(None, "pull") else None
        for pattern, handler in (
            (r"/v2/(.+)/manifests/([^/]+)", self.manifest),
            (r"/v2/(.+)/blobs/uploads/([^/]*)", self.upload),
            (r"/v2/(.+)/blobs/([^/]+)", self.blob),
            (r"/v2/(.+)/tags/list()", self.tags),
        ):
            match = re.fullmatch(pattern, self.url_path)
            if match:
                action = "pull" if self.command in ("GET", "HEAD") and handler != self.upload else "push"
                return handler(*match.groups()) if self.authorized(match.group(1), action) else None
        return self.error(404, "NOT_FOUND", "no such endpoint")

    def manifest(self, repository, reference):
        key = (repository, reference)
        if self.command == "PUT":
            data = self.body()
            digest = digest_of(data)
            missing = [d for d in manifest_blobs(data) if (repository, d) not in STATE.blobs] if self.opt("strict") else []
            if missing:
                return self.error(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry: " + missing[0])
            if self.opt("immutable") and key in STATE.manifests and not reference.startswith("sha256:"):
                return self.error(400, "TAG_INVALID", "the tag is immutable")
            STATE.manifests[key] = STATE.manifests[(repository, digest)] = (data, self.headers.get("Content-Type"))
            return self.reply(201, headers={"Docker-Content-Digest": self.opt("wrong_digest") or digest,
                                            "Location": "/v2/%s/manifests/%s" % (repository, digest)})
        if key not in STATE.manifests:
            return self.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        data, kind = STATE.manifests[key]
        headers = {"Content-Type": kind, "Content-Length": str(len(data))}
        if self.opt("digest_header"):
            headers["Docker-Content-Digest"] = self.opt("wrong_digest") or digest_of(data)
        if self.opt("corrupt_manifests"):
            data = data[:-1] + b"?"
        if self.corrupt:
            data = flipped(data)
        return self.reply(200, data, headers)

    def blob(self, repository, digest):
        data = STATE.blobs.get((repository, digest))
        if data is None:
            return self.error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if self.opt("redirect_blobs") and self.command == "GET":
            to = self.opt("redirect_blobs")
            if to == "cdn":
                to = "http://127.0.0.1:%d" % PORTS["cdn"]
            return self.reply(307, headers={"Location": "%s/%s/%s?signature=abc%%2Fdef" % (to, repository, digest)})
        return self.send_blob(data)

    def cdn(self):
        if self.headers.get("Authorization"):
            return self.reply(400, b"Only one auth mechanism allowed")
        parts = self.url_path.lstrip("/").rsplit("/", 1)
        if self.command == "PUT":
            return self.put_upload(parts[0], parts[1])
        if self.query.get("signature") != ["abc/def"]:
            return self.reply(403, b"bad signature")
        return self.send_blob(STATE.blobs[(parts[0], parts[1])])

    def send_blob(self, data):
        total, start, status = len(data), 0, 200
        headers = {"Content-Type": "application/octet-stream"}
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if match and not self.opt("ignore_range"):
            start = int(match.group(1))
            if start >= total:
                return self.reply(416, headers={"Content-Range": "bytes */%d" % total})
            status = 206
            headers["Content-Range"] = "bytes %d-%d/%d" % (start + (7 if self.opt("wrong_range") else 0), total - 1, total)
        if self.opt("corrupt_blobs") or self.corrupt:
            data = flipped(data)
        data = data[start:]
        headers["Content-Length"] = str(len(data))
        if self.command == "HEAD":
            return self.reply(status, b"", headers)
        self.reply(status, data, headers, head=True)
        cut = self.opt("cut_blob_at")
        if cut and len(data) > cut and STATE.take_times("cut_times"):
            self.wfile.write(data[:cut])
            return self.drop()
        if not self.opt("slow"):
            return self.wfile.write(data)
        for at in range(0, len(data), 16384):
            self.wfile.write(data[at:at + 16384])
            self.wfile.flush()
            time.sleep(self.opt("slow"))
        return None

    def upload_location(self, repository, upload):
        path = "/v2/%s/blobs/uploads/%s?_state=a%%2Fb&x=1" % (repository, upload)
        if self.opt("location") == "relative":
            return path
        if self.opt("location") == "cdn":
            return "http://127.0.0.1:%d/%s/%s?_state=a%%2Fb&x=1" % (PORTS["cdn"], repository, upload)
        if self.opt("location") == "http":
            return "http://%s%s" % (self.headers.get("Host"), path)
        return self.base() + path

    def upload(self, repository, upload):
        if self.command == "POST":
            if "mount" in self.query:
                digest = self.query["mount"][0]
                source = (self.query.get("from", [""])[0], digest)
                if self.opt("mount") and source in STATE.blobs:
                    STATE.blobs[(repository, digest)] = STATE.blobs[source]
                    return self.reply(201, headers={"Docker-Content-Digest": digest})
            upload = secrets.token_hex(8)
            STATE.uploads[upload] = b""
            least = {"OCI-Chunk-Min-Length": str(self.opt("chunk_min"))} if self.opt("chunk_min") else {}
            return self.reply(202, headers={"Location": self.upload_location(repository, upload), "Range": "0-0", **least})
        if upload not in STATE.uploads:
            return self.error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if self.query.get("_state") != ["a/b"]:
            return self.error(400, "BLOB_UPLOAD_INVALID", "the query of the location was lost")
        have = STATE.uploads[upload]
        if self.command == "GET":
            if not self.opt("upload_status"):
                return self.error(404, "BLOB_UPLOAD_UNKNOWN", "no status here")
            return self.reply(204, headers={"Location": self.upload_location(repository, upload), "Range": "0-%d" % max(len(have) - 1, 0)})
        if self.command == "PATCH":
            match = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range") or "")
            if match and int(match.group(1)) != len(have):
                return self.error(416, "RANGE_INVALID", "wrong offset")
            STATE.uploads[upload] += self.body()[:self.opt("keep_at_most") or None]
            return self.reply(202, headers={"Location": self.upload_location(repository, upload),
                                            "Range": "0-%d" % (len(STATE.uploads[upload]) - 1)})
        return self.put_upload(repository, upload)

    def put_upload(self, repository, upload):
        digest = self.query.get("digest", [""])[0]
        cut = self.opt("cut_put_at")
        if cut and self.left > cut and STATE.take_times("cut_put_times"):
            STATE.uploads[upload] += self.rfile.read(cut)
            return self.drop()
        data = STATE.uploads[upload] + self.body()
        if digest_of(data) != digest:
            return self.error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        STATE.blobs[(repository, digest)] = data
        del STATE.uploads[upload]
        if STATE.take_times("lose_put_answer"):
            return self.drop()
        return self.reply(201, headers={"Docker-Content-Digest": self.opt("wrong_digest") or digest,
                                        "Location": "/v2/%s/blobs/%s" % (repository, digest)})

    def tags(self, repository, _):
        names = sorted(ref for repo, ref in list(STATE.manifests) if repo == repository and not ref.startswith("sha256:"))
        if not names:
            return self.error(404, "NAME_UNKNOWN", "repository name not known to registry")
        last, page, headers = self.query.get("last", [""])[0], self.opt("page"), {}
        names = [name for name in names if name > last]
        if page and len(names) > page:
            names = names[:page]
            link = "/v2/%s/tags/list?n=%d&last=%s" % (repository, page, names[-1])
            headers["Link"] = '<%s>; rel="next"' % (link if self.opt("link") == "relative" else self.base() + link)
        return self.reply(200, {"name": repository, "tags": names}, headers)


class CdnHandler(Handler):
    where = "cdn"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert")
    parser.add_argument("--key")
    args = parser.parse_args()
    main_server = Server(("127.0.0.1", 0), Handler)
    cdn_server = Server(("127.0.0.1", 0), CdnHandler)
    PORTS.update(main=main_server.server_address[1], cdn=cdn_server.server_address[1], tls=bool(args.cert))
    if args.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args.cert, args.key)
        main_server.socket = context.wrap_socket(main_server.socket, server_side=True, do_handshake_on_connect=False)
    for server in (main_server, cdn_server):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(PORTS["main"], PORTS["cdn"], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
