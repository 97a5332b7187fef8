"""What of its builder a step sees: fixed values, whatever the caller has."""

import json
import subprocess
import sys

import pytest

from ixlib import IX, Machine, dockerfile, free_port, make_base, wait_for_port, write

# Everything a step can find out about who started it.
LOOK = """FROM busybox:test
RUN umask; ulimit -a | grep -v 'scheduling\\|pending'; env | sort; id; pwd; uname -m; readlink /proc/self/fd/0; ls /proc/self/fd | wc -l; \\
    grep -E '^(SigBlk|SigIgn|SigCgt|Cap.*|Groups|NoNewPrivs|Umask):' /proc/self/status; cat /proc/self/personality /proc/self/limits; tty; \\
    stat -c '%a %u:%g %n' / /etc /tmp /dev /dev/shm /proc
USER 1000
RUN cat /etc/passwd; umask; grep -E '^(SigBlk|SigIgn|Cap.*|Groups):' /proc/self/status; stat -c '%a %u:%g' / /etc
"""
FILES = "FROM busybox:test\nRUN mkdir /d && echo a > /d/f\nWORKDIR /w/x\nADD t.tar /t/\nCOPY f /c/d/f\nRUN --mount=type=cache,target=/q echo x > /q/f\n"

# Starts ix as other callers do.
CALLER = r"""
import ctypes, os, resource, signal, sys
how = sys.argv[1]
if how == "other":
    os.umask(0o077)
    for name, value in (("NOFILE", 500), ("CORE", 1 << 20), ("STACK", 4 << 20), ("FSIZE", 1 << 34), ("MEMLOCK", 1 << 16), ("NPROC", 9999)):
        one = getattr(resource, "RLIMIT_" + name)
        soft, hard = resource.getrlimit(one)
        # A hard limit can be raised again only by who may raise limits.
        resource.setrlimit(one, (value, value if ctypes.CDLL(None).prctl(23, 24, 0, 0, 0) == 1 and os.geteuid() == 0 else hard))
    for one in (signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1, signal.SIGPIPE, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM])
    ctypes.CDLL(None).personality(0x0040000 | 0x0008)
    os.setgroups([7, 8]) if os.geteuid() == 0 else None
    os.environ.update(TZ="Asia/Tokyo", LANG="de_DE.UTF-8", LC_ALL="C", HOME="/nowhere", PWD="/x", UMASK="1", TMPDIR="/var/tmp")
    os.chdir("/usr")
    os.set_inheritable(os.dup2(os.open("/etc/passwd", os.O_RDONLY), 9), True)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    place = tmp_path_factory.mktemp("base")
    return make_base(Machine(place / "maker"), place)


def start(how, machine, *words, env=None):
    command = [sys.executable, "-c", CALLER, how, IX, words[0], "--store", machine.store, "--config", machine.config, *words[1:]]
    with open("/dev/null" if how == "plain" else "/etc/hostname") as given:
        done = subprocess.run(list(map(str, command)), stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=dict(machine.env, **(env or {})))
    assert done.returncode == 0, done.stderr
    return done


def build(how, base, place, file, env=None):
    """Two things: what the steps printed, and the image's layers."""
    machine = Machine(place / how, env={"IX_CHECK_LAYERS": "1", "SOURCE_DATE_EPOCH": "1700000000"})
    start(how, machine, "import", base, "busybox:test")
    done = start(how, machine, "build", "--progress", "plain", "-t", "it", place / "context", env=env)
    config = json.loads(start(how, machine, "inspect", "it").stdout)
    machine.ix("rm", "--everything")
    return done.stderr, config


def printed(text):
    """The steps' own lines."""
    return [line for line in text.splitlines() if line.startswith("image | ")]


def test_steps_see_fixed_values(base, tmp_path):
    dockerfile(tmp_path / "context", LOOK)
    plain, other = (build(how, base, tmp_path, LOOK)[0] for how in ("plain", "other"))
    assert "core file size (blocks)         (-c) 0\n" in plain
    assert printed(plain) == printed(other)


def test_layers_are_the_same_whoever_builds(base, tmp_path):
    dockerfile(tmp_path / "context", FILES, f="x")
    (tmp_path / "t").mkdir(mode=0o755)
    (tmp_path / "t/f").write_text("x")
    (tmp_path / "t/f").chmod(0o644)
    subprocess.run(["tar", "-cf", tmp_path / "context/t.tar", "-C", tmp_path, "t/f"], check=True)
    plain, other = (build(how, base, tmp_path, FILES)[1] for how in ("plain", "other"))
    assert plain == other


def test_a_tight_umask_builds_images_that_others_can_run(base, tmp_path):
    dockerfile(tmp_path / "context", "FROM busybox:test\nRUN true\nRUN test $(stat -c %a /) = 755\nUSER 1000\nRUN cat /etc/passwd\n")
    build("other", base, tmp_path, "")


def test_a_tight_umask_keeps_what_is_written_for_its_owner_private(base, tmp_path):
    machine = Machine(tmp_path / "m")
    start("other", machine, "import", base, "busybox:test")
    start("other", machine, "export", "-o", tmp_path / "out.tar", "busybox:test")
    assert (tmp_path / "out.tar").stat().st_mode & 0o777 == 0o600
    assert machine.store.stat().st_mode & 0o777 == 0o700


PROXIES = {name: "http://proxy.invalid:3128" for name in ("HTTP_PROXY", "https_proxy", "no_proxy", "ALL_PROXY", "FTP_PROXY")}


def test_proxies_are_shown_to_steps_and_count_nowhere(base, tmp_path):
    dockerfile(tmp_path / "context", "FROM busybox:test\nRUN echo \"proxy ${HTTP_PROXY:-none} ${https_proxy:-none}\"\nENV A=b\nCMD x\n")
    machines = [Machine(tmp_path / name) for name in ("with", "without")]
    results = []
    for machine, env in zip(machines, (PROXIES, {})):
        for name in list(machine.env):
            if name.lower().endswith("_proxy"):
                del machine.env[name]
        machine.env.update(env, SOURCE_DATE_EPOCH="1700000000")
        machine.ix("import", base, "busybox:test")
        results.append(machine.build(tmp_path / "context", "-t", "it").err)
    assert "proxy http://proxy.invalid:3128 http://proxy.invalid:3128" in results[0] and "proxy none none" in results[1]
    inspected = [machine.ix("inspect", "it").out for machine in machines]
    assert inspected[0] == inspected[1] and "proxy.invalid" not in inspected[0]
    keys = [json.loads(inspected[0])["manifest"]["annotations"], json.loads(inspected[1])["manifest"]["annotations"]]
    assert keys[0] == keys[1]
    # The same key: with the proxies taken away nothing is run again.
    again = machines[0].ix("build", "--progress", "plain", tmp_path / "context", env={name: "" for name in PROXIES}).err
    assert "proxy none" not in again


def test_a_checkout_does_not_depend_on_the_umask(base, tmp_path):
    root = tmp_path / "srv/app.git"
    write(root, Dockerfile="FROM busybox:test\nCOPY . /x\n", f="x", d__g="y")
    git = ["git", "-C", root, "-c", "user.name=n", "-c", "user.email=e@e"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    port = free_port()
    server = subprocess.Popen(["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}/srv",
                               tmp_path / "srv"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    results = []
    try:
        wait_for_port(port)
        for how in ("plain", "other"):
            machine = Machine(tmp_path / how)
            start(how, machine, "import", base, "busybox:test")
            start(how, machine, "build", "-q", "-t", "it", f"git://127.0.0.1:{port}/app.git#main")
            results.append(json.loads(start(how, machine, "inspect", "it").stdout)["manifest"])
    finally:
        server.terminate()
        server.wait()
    assert [layer["annotations"] if "annotations" in layer else layer["digest"] for layer in results[0]["layers"]] == \
        [layer["annotations"] if "annotations" in layer else layer["digest"] for layer in results[1]["layers"]]
    assert results[0]["annotations"] == results[1]["annotations"]


def test_one_tar_is_one_image(base, tmp_path):
    digests = set()
    for i, how in enumerate(("plain", "other", "plain")):
        machine = Machine(tmp_path / str(i), env={"TZ": f"UTC+{i}"})
        digests.add(start(how, machine, "import", base, "busybox:test").stdout)
        subprocess.run(["sleep", "1.1"], check=True)
    assert len(digests) == 1, digests
    assert machine.image_config("busybox:test")["created"] == "2023-11-14T22:13:20Z"
