"""As an ordinary user: a user namespace with subordinate ids."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tarfile

import pytest

from ixlib import IX, Machine, dockerfile, make_base, registry, write

USER = "ixtest"


@pytest.fixture(scope="module")
def user(tmp_path_factory):
    """Commands as an ordinary user who has subordinate ids; made when the tests run as root."""
    if os.geteuid() != 0:
        if not any(line.startswith(pwd.getpwuid(os.geteuid()).pw_name + ":") for line in open("/etc/subuid")):
            pytest.skip("this user has no subordinate ids")
        return []
    if not shutil.which("useradd") or not shutil.which("newuidmap"):
        pytest.skip("no useradd or newuidmap")
    try:
        pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "-m", USER], check=True)
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--"]


@pytest.fixture(scope="module")
def place(user, tmp_path_factory):
    """A directory the user can reach: a copy of ix, a base image."""
    place = pathlib.Path(subprocess.run(["mktemp", "-d", "/var/tmp/ix-rootless-XXXXXX"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    shutil.copy(IX, place / "ix")
    make_base(Machine(place / "maker"), place)
    for path in (place, place / "base.tar"):
        path.chmod(0o755)
    if user:
        shutil.chown(place, USER, USER)
    yield place
    subprocess.run([*user, place / "ix", "rm", "--everything", "--store", place / "store"], check=False, env={"HOME": str(place)})
    shutil.rmtree(place, ignore_errors=True)


def ix(user, place, *words, check=True, **options):
    env = {"HOME": str(place), "PATH": os.environ["PATH"], "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "")}
    p = subprocess.run([*user, place / "ix", words[0], "--store", place / "store", *map(str, words[1:])], stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, env=env, cwd=place, **options)
    if check:
        assert p.returncode == 0, p.stderr
    return p


def test_builds_with_several_users_and_whiteouts(user, place):
    ix(user, place, "import", place / "base.tar", "busybox:test")
    dockerfile(place / "c", "FROM busybox:test\nRUN id -u > /u && mkdir /d && echo x > /d/f && chown -R app:wheel /d && rm -r /usr/share/data\n"
               "USER app\nRUN id > /tmp/id\nUSER root\nCOPY --chown=app f /f\nRUN rm -r /d && mkdir /d && touch /d/new\n", f="x")
    p = ix(user, place, "build", "--progress", "plain", "-o", f"type=tar,dest={place}/out.tar", place / "c")
    got = {m.name.rstrip("/"): m for m in tarfile.open(place / "out.tar").getmembers()}
    assert got["f"].uid == 1000 and "usr/share/data" not in got and "d/f" not in got and "d/new" in got
    assert tarfile.open(place / "out.tar").extractfile("tmp/id").read().startswith(b"uid=1000(app)")


def test_same_key_and_layers_as_root(user, place, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to compare with")
    dockerfile(place / "same", "FROM busybox:test\nCOPY --chown=app f /x/f\n", f="x")
    (place / "same" / "f").chmod(0o644)
    root = Machine(tmp_path)
    root.ix("import", place / "base.tar", "busybox:test")
    ix(user, place, "import", place / "base.tar", "busybox:test")
    layers = lambda text: __import__("json").loads(text)["config"]["rootfs"]["diff_ids"]
    root.ix("build", "-q", "-t", "same", place / "same")
    ix(user, place, "build", "-q", "-t", "same", place / "same")
    assert layers(root.ix("inspect", "same").out) == layers(ix(user, place, "inspect", "same").stdout)


def test_run_and_local_export(user, place):
    ix(user, place, "build", "-q", "-t", "t", "-o", place / "tree", dockerfile(place / "r", "FROM busybox:test\nRUN chown app /tmp\n"))
    assert ix(user, place, "run", "t", "--", "sh", "-c", "id -u; touch /x && echo ok").stdout == "0\nok\n"
    assert (place / "tree/bin/busybox").exists()
    assert (place / "tree/bin/busybox").stat().st_uid == (pwd.getpwnam(USER).pw_uid if user else os.geteuid())


def test_without_subordinate_ids_it_says_so_and_works_for_one_user(place, user):
    if os.geteuid() != 0:
        pytest.skip("needs root to become a user without subordinate ids")
    single = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--"]
    where = place / "single"
    where.mkdir()
    os.chown(where, 54321, 54321)
    shutil.copy(place / "base.tar", where)
    env = {"HOME": str(where), "PATH": os.environ["PATH"]}
    with tarfile.open(where / "one.tar", "w") as tar:
        for name in ("bin", "tmp"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        tar.add("/bin/busybox", "bin/busybox", filter=lambda i: (setattr(i, "uid", 0), setattr(i, "gid", 0), i)[2])
        tar.add("/bin/busybox", "bin/sh", filter=lambda i: (setattr(i, "uid", 0), setattr(i, "gid", 0), i)[2])
    common = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=where)
    p = subprocess.run([*single, place / "ix", "import", "--store", where / "s", where / "one.tar", "one:1"], **common)
    assert p.returncode == 0, p.stderr
    dockerfile(where / "c", "FROM one:1\nRUN echo ok > /ok\n")
    p = subprocess.run([*single, place / "ix", "build", "--store", where / "s", where / "c"], **common)
    assert p.returncode == 0 and "only your own user is mapped" in p.stderr, p.stderr
