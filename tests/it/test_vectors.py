"""A second implementation of docs/identity.md, small enough to read: it has to agree with ix and with docs/vectors/keys.json."""

import hashlib
import json
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import tempfile

import pytest

from ixlib import IX, Machine

VECTORS = pathlib.Path(__file__).parents[2] / "docs/vectors"
(FORMAT, PLATFORM, BASE_SCRATCH, BASE_IMAGE, BASE_STAGE, PARENT, STEP, WORD, EXEC, DOC_NAME, DOC_BODY, DOC_FLAGS, ARG_NAME, ARG_VALUE, ARG_LINK,
 FROM_STAGE, FROM_IMAGE, FROM_FILES, DEST, CHOWN, CHMOD, LINK, MOUNT, MOUNT_SOURCE, MOUNT_TARGET, MOUNT_ID, MOUNT_ENV, MOUNT_OPTION, NETWORK, HEALTH,
 STAGE, LABEL, EXCLUDE, COPY_OPTION, FROM_REMOTE, SECURITY, RUN_SETTING) = range(1, 38)


def u64(n):
    return struct.pack("<Q", n)


def field(tag, value):
    if isinstance(value, str):
        value = value.encode()
    return u64(tag) + (u64(0) if value is None else u64(len(value) + 1) + value)


def flag(tag, n):
    return u64(tag) + u64(n)


def sha(data):
    return hashlib.sha256(data).digest()


def tree(root, pattern):
    """The digest of what one path selects."""
    top = root / pattern.strip("/")
    found = [top] + sorted(top.rglob("*"), key=lambda p: str(p.relative_to(top)).replace("/", "\0")) if top.is_dir() else [top]
    out = field(1, "" if top.is_dir() else top.name) + u64(len(found))
    for path in found:
        mode = path.lstat().st_mode
        out += field(2, "" if path == top else str(path.relative_to(top))) + u64(3)
        out += u64(stat.S_IFLNK if stat.S_ISLNK(mode) else mode)
        if stat.S_ISLNK(mode):
            out += field(4, os.readlink(path))
        elif stat.S_ISREG(mode):
            out += field(5, sha(path.read_bytes()))
    return sha(out)


def stage(base, steps, labels=()):
    parent = sha(flag(FORMAT, 2) + field(PLATFORM, "linux/amd64") + base)
    for step in steps:
        parent = sha(field(PARENT, parent) + step)
    return sha(field(STAGE, parent) + b"".join(field(LABEL, text) for pair in labels for text in pair))


def plain(word, *words, exec=0):
    return field(STEP, word) + flag(EXEC, exec) + b"".join(field(WORD, w) for w in words)


def args(**given):
    out = b""
    for name, value in given.items():
        out += field(ARG_NAME, name) + (field(ARG_LINK, value) if isinstance(value, bytes) else field(ARG_VALUE, value))
    return out


def run(words, arguments=b"", exec=0, network=0):
    return plain("RUN", *words, exec=exec) + arguments + flag(NETWORK, network) + flag(SECURITY, 0)


def copy(sources, dest, chown=None, chmod=None, docs=b"", arguments=b""):
    return (field(STEP, "COPY") + flag(EXEC, 0) + docs + arguments + sources + field(DEST, dest) + field(CHOWN, chown) + field(CHMOD, chmod) +
            flag(LINK, 0) + flag(COPY_OPTION, 0))


def expected(root):
    base = stage(field(BASE_SCRATCH, ""), [
        plain("ENV", "GREETING", "hello"),
        plain("WORKDIR", "/work"),
        copy(field(FROM_FILES, tree(root, "src/")), "/src/"),
    ])
    version = args(VERSION="1.2")
    app = stage(field(BASE_STAGE, base), [
        plain("ARG", "VERSION"),
        run(["make VERSION=$VERSION"], version),
        run(["make", "check"], version, exec=1, network=1),
        copy(field(FROM_FILES, tree(root, "src/one.txt")), "/one", "1:2", "640"),
        plain("CMD", "run", exec=1),
    ], [("team", "web")])
    final = stage(field(BASE_SCRATCH, ""), [
        plain("ARG", "APP"),
        copy(field(FROM_STAGE, app) + field(WORD, "/work/out"), "/out/"),
        copy(b"", "/note", docs=field(DOC_NAME, "END") + field(DOC_BODY, "made of $APP\n") + flag(DOC_FLAGS, 1), arguments=args(APP=app)),
        plain("HEALTHCHECK", "CMD", "true") + u64(HEALTH) + u64(5_000_000_000) + u64(0) * 3 + u64(3),
    ])
    return {name: "sha256:" + key.hex() for name, key in (("base", base), ("app", app), ("final", final))}


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "vectors"
    shutil.copytree(VECTORS, root, symlinks=True)
    for path in [root / "src", *(root / "src").rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
    return root


def test_another_implementation_computes_the_same_keys(project, tmp_path):
    plan = json.loads(Machine(tmp_path / "m").ix("plan", "--json", "base", "app", "final", cwd=project, check=False).out)
    got = {s["stage"]: s["key"] for s in plan["stages"]}
    listed = json.loads((VECTORS / "keys.json").read_text())
    want = expected(project)
    for name in want:
        assert got[name] == want[name], name
    assert listed == got


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_asks_does_not_count(project):
    with tempfile.TemporaryDirectory() as place:
        where = pathlib.Path(place)
        where.chmod(0o755)
        shutil.copytree(project, where / "vectors", symlinks=True)
        shutil.copy(IX, where / "ix")
        (where / "home").mkdir()
        os.chown(where / "home", 65534, 65534)
        plan = subprocess.run([where / "ix", "plan", "--json", "--store", where / "home/store", "base", "app", "final"], cwd=where / "vectors",
                              user=65534, group=65534, extra_groups=[], env={"PATH": os.environ["PATH"], "HOME": str(where / "home")},
                              stdout=subprocess.PIPE)
        assert {s["stage"]: s["key"] for s in json.loads(plan.stdout)["stages"]} == expected(project)
