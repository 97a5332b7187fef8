"""Nothing from outside does anything to the terminal: ESC and C1 bytes of instructions, names, patterns, archives, registries and documents."""

import json
import os
import pty
import re
import subprocess
import tarfile

import pytest

from ixlib import IX, Machine, dockerfile, make_base, write

# A title, red letters, the same by C1 as UTF-8 and as bytes.
EVIL = "\x1b]0;owned\x07\x1b[31m\u009b31m\u0085"
RAW = EVIL.encode() + b"\x9b2J\x90"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    place = tmp_path_factory.mktemp("terminal")
    machine = Machine(place)
    make_base(machine, place)
    return machine


def is_clean(data):
    """No control byte but the end of a line and tabs, and nothing but UTF-8."""
    text = data.decode("utf-8")
    return not re.search("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]", text)


def said(machine, *words, cwd=None):
    p = subprocess.run([IX, words[0], "--store", machine.store, "--config", machine.config, *words[1:]], cwd=cwd, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=machine.env)
    assert p.returncode in (0, 1, 2), p
    return p.stdout + p.stderr


def drawn(machine, *words):
    """The same on a terminal, without the sequences that ix draws with."""
    leader, follower = pty.openpty()
    with subprocess.Popen([IX, words[0], "--store", machine.store, "--config", machine.config, *words[1:]], stdin=subprocess.DEVNULL, stdout=follower,
                          stderr=follower, env=dict(machine.env, TERM="xterm")) as ix:
        os.close(follower)
        data = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:
                break
            if not chunk:
                break
            data += chunk
    os.close(leader)
    own = rb"\x1b\[[0-9;]*[AmKJ]|\r"
    return re.sub(own, b"", data), data


def write_bytes(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path.parent


CASES = {
    "instruction": b"FROM busybox:test\nRUN : %b\n",
    "failing instruction": b"FROM busybox:test\nRUN false %b\n",
    "user": b"FROM busybox:test\nUSER %b\nRUN true\n",
    "copied name": b"FROM busybox:test\nCOPY x%b /\n",
    "pattern": b"FROM busybox:test\nCOPY --exclude=[%b x /\n",
    "stage": b"FROM busybox:test AS a\nCOPY --from=%b /x /\n",
    "unknown instruction": b"FROM busybox:test\n%b x\n",
    "unknown flag": b"FROM busybox:test\nRUN --%b true\n",
    "working directory": b"FROM busybox:test\nWORKDIR /bin/sh/%b\nRUN true\n",
    "label": b"FROM busybox:test\nLABEL %b\n",
    "base": b"FROM %b\n",
    "url": b"FROM busybox:test\nADD http://127.0.0.1:1/%b /\n",
    "command": b'FROM busybox:test\nRUN ["%b"]\n',
    "secret": b"FROM busybox:test\nRUN --mount=type=secret,required,id=%b true\n",
    "argument": b"FROM busybox:test\nARG X=${Y:?%b}\nRUN true\n",
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bytes_", [EVIL.encode(), RAW], ids=["text", "raw"])
def test_instructions(machine, tmp_path, name, bytes_):
    place = write_bytes(tmp_path / "Dockerfile", CASES[name].replace(b"%b", bytes_))
    for words in (("build", "--progress", "plain", place), ("build", "-q", place), ("build", "--call", "outline", place), ("build", "--call", "outline,format=json", place),
                  ("check", place)):
        assert is_clean(said(machine, *words)), said(machine, *words)
    text, data = drawn(machine, "build", "--no-cache", place)
    assert is_clean(text.replace(b"\r\n", b"\n")), data
    json_lines = said(machine, "build", "--no-cache", "--progress", "json", place)
    assert is_clean(json_lines), json_lines


@pytest.mark.parametrize("line", [r"printf '\033[2J\033]0;t\007x\n'", r"printf '\2332Jx\n'", r"printf '\302\2332Jx\n'", r"printf '\033[2J\302\205'",
                                  r"printf '\2332J' >&2; false"])
def test_what_steps_print(machine, tmp_path, line):
    place = dockerfile(tmp_path, f"FROM busybox:test\nRUN {line}; sleep 0.3\n" if "false" not in line else f"FROM busybox:test\nRUN {line}\n")
    text, data = drawn(machine, "build", "--no-cache", place)
    assert is_clean(text), data
    assert is_clean(said(machine, "build", "--no-cache", "--progress", "plain", place))


def test_names_of_an_archive(machine, tmp_path):
    for name in (EVIL, "../" + EVIL, EVIL + "/x"):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "nothing" + EVIL
                archive.addfile(info)
        dockerfile(tmp_path, "FROM busybox:test\nADD a.tar /x/\nRUN ls /x\n")
        assert is_clean(said(machine, "build", "--progress", "plain", tmp_path))
        assert is_clean(said(machine, "import", tmp_path / "a.tar", "x:1"))


def test_files_that_differ(machine, tmp_path):
    place = dockerfile(tmp_path / "c", "FROM busybox:test AS out\nCOPY . /\n")
    (place / ("f" + EVIL)).write_text("1")
    write(tmp_path, **{"ix.yaml": "project: p\nstages: { a: { dockerfile: c/Dockerfile, context: c } }\n"})
    said(machine, "build", "--progress", "plain", cwd=tmp_path)
    (place / ("f" + EVIL)).write_text("2")
    for words in (("plan",), ("plan", "--json"), ("explain", "a"), ("explain", "--json", "a"), ("build", "--progress", "plain")):
        assert is_clean(said(machine, *words, cwd=tmp_path)), words


@pytest.mark.parametrize("yaml", ["project: p\n%s: 1\n", "project: p\nregistry: '%s'\nstages: { a: { dockerfile: D } }\n", "project: p\nstages: { '%s': { dockerfile: D } }\n",
                                  "project: p\nstages: { a: { dockerfile: 'D%s' } }\n", "project: p\nstages: { a: { dockerfile: D, args: { X: 'stage:%s' } } }\n", "%s"])
@pytest.mark.parametrize("bytes_", [EVIL.encode().replace(b"\x1b", b"\\x1b").replace(b"\x07", b"\\a"), RAW], ids=["quoted", "raw"])
def test_projects(machine, tmp_path, yaml, bytes_):
    if b"\\x" in bytes_:
        yaml = yaml.replace("'", '"')
    write_bytes(tmp_path / "ix.yaml", yaml.encode().replace(b"%s", bytes_))
    (tmp_path / "D").write_text("FROM busybox:test\n")
    for words in (("plan",), ("build", "--progress", "plain"), ("build", EVIL)):
        assert is_clean(said(machine, *words, cwd=tmp_path)), said(machine, *words, cwd=tmp_path)


def test_answers_of_a_registry(machine, tmp_path, registry):
    said_no = json.dumps({"errors": [{"code": "DENIED" + EVIL, "message": EVIL + "no"}]}, ensure_ascii=False)
    for body in (said_no, EVIL, json.dumps({"mediaType": EVIL, "schemaVersion": 2})):
        for status in (200, 403, 404, 500):
            registry.reset()
            registry.rule(path="/v2/x/manifests/1", status=status, body=body)
            assert is_clean(said(machine, "pull", f"{registry.host}/x:1"))


def test_documents_of_an_image(machine, tmp_path):
    evil = EVIL + "\x7f"
    machine.build(dockerfile(tmp_path, "FROM busybox:test\nARG X\nLABEL x=${X}\n"), "-t", "evil:1", "--build-arg", f"X={evil}")
    data = said(machine, "inspect", "evil:1")
    assert is_clean(data) and json.loads(data)["config"]["config"]["Labels"]["x"] == evil


def test_every_line_of_a_step_is_printed(machine, tmp_path):
    """However many come at once, and the last without its end."""
    place = dockerfile(tmp_path, "FROM busybox:test\nRUN seq 1 500; printf end\n")
    out = said(machine, "build", "--no-cache", "--progress", "plain", place).decode()
    assert [line.split(" | ")[1] for line in out.splitlines() if " | " in line] == [*map(str, range(1, 501)), "end"], out
