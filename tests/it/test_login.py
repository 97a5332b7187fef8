"""Logging in and out: what is asked of the registry, and what is kept where docker keeps it."""

import base64
import json
import os
import pty
import time

import pytest

from ixlib import IX, Machine

PLAIN = {"auths": {"other.example": {"auth": "YTpi", "email": "kept"}}, "HttpHeaders": {"X": "y"}}


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path / "machine")
    machine.docker = machine.root / ".docker"
    return machine


def config(machine):
    return json.loads((machine.docker / "config.json").read_text())


def entry(user, password):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def login(machine, host, password="s3cret", user="joe", **options):
    return machine.ix("login", "-u", user, "--password-stdin", host, input=(password + "\n").encode(), **options)


@pytest.fixture
def helper(machine, tmp_path):
    """A credential helper that keeps one file for each server."""
    where = tmp_path / "bin"
    where.mkdir()
    program = where / "docker-credential-test"
    program.write_text("""#!/usr/bin/python3
import json, os, sys
verb, said = sys.argv[1], sys.stdin.read()
server = json.loads(said)["ServerURL"] if verb == "store" else said
path = os.path.join(os.path.dirname(sys.argv[0]), "kept-" + server.replace("/", "_"))
if verb == "store":
    open(path, "w").write(said)
elif not os.path.exists(path):
    print("credentials not found in native keychain")
    sys.exit(1)
elif verb == "get":
    print(open(path).read())
else:
    os.unlink(path)
""")
    program.chmod(0o755)
    machine.env["PATH"] = f"{where}:{machine.env['PATH']}"
    return lambda: [path.name for path in where.glob("kept-*")]


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_login_is_tried_and_kept_for_docker(machine, registry, auth):
    registry.config(auth=auth)
    machine.docker.mkdir()
    (machine.docker / "config.json").write_text(json.dumps(PLAIN))
    r = login(machine, registry.host)
    assert f"logged in to {registry.host} as joe, kept unencrypted in {machine.docker}/config.json" in r.out and "s3cret" not in r.out + r.err
    assert config(machine) == {**PLAIN, "auths": {**PLAIN["auths"], registry.host: entry("joe", "s3cret")}}
    assert (machine.docker / "config.json").stat().st_mode & 0o777 == 0o600
    r = machine.failure("pull", f"{registry.host}/app:none")  # what was kept is used
    assert "404 not found" in r.err, r


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_what_the_registry_refuses_is_not_kept(machine, registry, auth):
    registry.config(auth=auth)
    r = login(machine, registry.host, "wrong", check=False)
    assert r.status == 1 and "401 unauthorized" in r.err and "wrong" not in r.err and not (machine.docker / "config.json").exists(), r


def test_nothing_is_kept_of_a_registry_that_does_not_answer(machine, registry):
    r = login(machine, "127.0.0.1:1", check=False, env={"IX_RETRY_SECONDS": "1"})
    assert r.status == 1 and "127.0.0.1:1" in r.err and not (machine.docker / "config.json").exists(), r


def test_logging_out_forgets_every_spelling(machine, registry):
    machine.docker.mkdir()
    host = registry.host
    (machine.docker / "config.json").write_text(json.dumps({"auths": {host: entry("a", "b"), f"https://{host}/v2/": entry("a", "b"), **PLAIN["auths"]}}))
    assert f"logged out of {host}" in machine.ix("logout", host).out
    assert config(machine) == {"auths": PLAIN["auths"]}
    r = machine.failure("logout", host)
    assert f"nothing is kept in {machine.docker}/config.json for {host}" in r.err


def test_logging_out_says_where_else_there_is_a_login(machine, registry):
    login(machine, registry.host)
    other = machine.root / ".config/containers/auth.json"
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({"auths": {registry.host: entry("a", "b")}}))
    assert f"{other} still has a login for {registry.host}" in machine.ix("logout", registry.host).err
    assert other.exists()


@pytest.mark.parametrize("named", ["credsStore", "credHelpers"])
def test_a_helper_keeps_it_where_docker_has_one(machine, registry, helper, named):
    registry.config(auth="basic")
    machine.docker.mkdir()
    settings = {named: "test" if named == "credsStore" else {registry.host: "test"}}
    (machine.docker / "config.json").write_text(json.dumps(settings))
    assert "kept by docker-credential-test" in login(machine, registry.host).out
    assert config(machine) == {**settings, "auths": {registry.host: {}}} and len(helper()) == 1
    assert "404 not found" in machine.failure("pull", f"{registry.host}/app:none").err
    machine.ix("logout", registry.host)
    assert config(machine) == {**settings, "auths": {}} and helper() == []
    machine.failure("logout", registry.host)


def test_a_helper_that_fails_keeps_nothing(machine, registry):
    machine.docker.mkdir()
    (machine.docker / "config.json").write_text(json.dumps({"credsStore": "nowhere"}))
    r = login(machine, registry.host, check=False)
    assert r.status == 1 and "docker-credential-nowhere" in r.err and config(machine) == {"credsStore": "nowhere"}, r


def test_a_file_that_is_no_json_is_left_alone(machine, registry):
    machine.docker.mkdir()
    (machine.docker / "config.json").write_text("{")
    r = login(machine, registry.host, check=False)
    assert r.status == 1 and "config.json:1:" in r.err and (machine.docker / "config.json").read_text() == "{"


def test_a_link_is_followed(machine, registry):
    machine.docker.mkdir()
    (machine.root / "dotfiles").mkdir()
    (machine.root / "dotfiles/docker.json").write_text("")
    (machine.docker / "config.json").symlink_to("../dotfiles/docker.json")
    login(machine, registry.host)
    assert (machine.docker / "config.json").is_symlink() and json.loads((machine.root / "dotfiles/docker.json").read_text())["auths"]


@pytest.mark.parametrize("words, said", [
    (("-u", "joe", "ghcr.io/owner"), "logins are of hosts"), (("127.0.0.1:1",), "standard input is no terminal"),
    (("--password-stdin", "127.0.0.1:1"), "--password-stdin needs -u"), (("-u", "a:b", "--password-stdin", "127.0.0.1:1"), "has no colon"),
    (("-u", "a", "--password-stdin", "127.0.0.1:1"), "the password is empty"), (("-u", "a", "-p", "b", "127.0.0.1:1"), "")])
def test_what_cannot_be_a_login_is_said(machine, words, said):
    r = machine.failure("login", *words, input=b"")
    assert said in r.err, r


def test_a_password_is_typed_unseen(machine, registry):
    registry.config(auth="basic")
    child, terminal = pty.fork()
    if child == 0:
        os.execve(IX, [IX, "login", "--store", str(machine.store), "--config", str(machine.config), registry.host], machine.env)
    seen = b""
    for prompt, answer in ((b"user name: ", b"joe\n"), (b"password: ", b"s3cret\n")):
        while not seen.endswith(prompt):
            seen += os.read(terminal, 1000)
        time.sleep(0.1)  # what is typed before the echo is off is not what this is about
        os.write(terminal, answer)
    try:
        while True:
            more = os.read(terminal, 1000)
            if not more:
                break
            seen += more
    except OSError:
        pass
    assert os.waitpid(child, 0)[1] == 0 and b"s3cret" not in seen and config(machine)["auths"][registry.host] == entry("joe", "s3cret"), seen


def test_what_the_registry_has_to_say_is_said(machine, registry):
    registry.config(auth="basic", warnings=['299 - "passwords end soon"'])
    r = login(machine, registry.host)
    assert "passwords end soon" in r.err and "logged in" in r.out, r
