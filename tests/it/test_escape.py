"""What a step must not reach: the machine's devices, its network, the program itself, other people's secrets. One probe, one thing."""

import os
import pathlib
import random
import shutil
import socket
import subprocess
import tarfile
import time

import pytest

from ixlib import IX, Machine, dockerfile, make_base

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="of root's own steps")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    place = tmp_path_factory.mktemp("escape")
    machine = Machine(place)
    make_base(machine, place)
    return machine


def probe(machine, where, line, *words):
    """What the step's command says, and the status it ends with, as "OUT status"."""
    dockerfile(where, f"FROM busybox:test\nRUN ({line}) > /out 2>&1; echo $? >> /out\n")
    return machine.root_tar(where, "--no-cache", *words).extractfile("out").read().decode()


def libraries(program):
    """The program's loader and libraries, as paths of this machine."""
    lines = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return sorted({word for line in lines for word in line.split() if word.startswith("/")})


# --- devices ---

DISK = "b 7 0"
NODES = {"disk": DISK, "loop-control": "c 10 237", "kvm": "c 10 232", "fuse": "c 10 229", "tun": "c 10 200", "serial": "c 4 64", "memory": "c 1 1",
         "null": "c 1 3"}


@pytest.mark.parametrize("name", NODES)
def test_no_device_node_can_be_made(machine, tmp_path, name):
    assert "Operation not permitted\n1\n" in probe(machine, tmp_path / "c", f"mknod /node {NODES[name]}")


@pytest.mark.parametrize("name", NODES)
def test_no_device_node_can_be_made_by_ix_run(machine, name):
    p = machine.ix("run", "busybox:test", "--", "mknod", "/node", *NODES[name].split(), check=False)
    assert p.status == 1 and "Operation not permitted" in p.err, p


def test_no_device_node_can_be_made_where_a_file_system_has_devices(machine, tmp_path):
    for place in ("/dev", "/dev/shm", "/dev/pts", "/tmp", "/run"):
        assert "not permitted\n1\n" in probe(machine, tmp_path / "c", f"mkdir -p {place}; mknod {place}/node {DISK}"), place


@pytest.fixture(scope="module")
def with_nodes(machine, tmp_path_factory):
    """A base image that brings nodes of a character device everybody has, and of a disk."""
    tar = tmp_path_factory.mktemp("nodes") / "nodes.tar"
    shutil.copy(machine.root / "base.tar", tar)
    with tarfile.open(tar, "a") as archive:
        for name, kind, major, minor in (("zero", tarfile.CHRTYPE, 1, 5), ("disk", tarfile.BLKTYPE, 7, 0)):
            info = tarfile.TarInfo(name)
            info.type, info.devmajor, info.devminor, info.mode = kind, major, minor, 0o666
            archive.addfile(info)
    machine.ix("import", tar, "nodes:test")
    return machine


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's steps do not see the nodes, which stay in their layer")
def test_device_nodes_of_an_image_stay_in_it(with_nodes, tmp_path):
    dockerfile(tmp_path / "c", "FROM nodes:test\nRUN mv /zero /other && touch /here\n")
    tar = with_nodes.root_tar(tmp_path / "c")
    assert (tar.getmember("other").devmajor, tar.getmember("other").devminor) == (1, 5) or not ROOT
    assert tar.getmember("disk").isblk() or not ROOT
    assert "zero" not in tar.getnames()


@as_root
def test_device_nodes_of_an_image_cannot_be_opened(with_nodes, tmp_path):
    dockerfile(tmp_path / "c", "FROM nodes:test\nRUN for n in zero disk; do head -c 1 /$n; echo $n $?; done > /out 2>&1\n"
               "RUN --mount=from=nodes:test,target=/m for n in zero disk; do head -c 1 /m/$n; echo $n $?; done >> /out 2>&1\n"
               "RUN --mount=from=nodes:test,target=/m,rw for n in zero disk; do head -c 1 /m/$n; echo $n $?; done >> /out 2>&1\n")
    out = with_nodes.root_tar(tmp_path / "c").extractfile("out").read().decode()
    assert out.count("Permission denied") == 6 and out.count(" 1\n") == 6, out


def test_the_devices_of_docker_are_there(machine, tmp_path):
    out = probe(machine, tmp_path / "c", "head -c 1 /dev/zero | wc -c; head -c 1 /dev/urandom | wc -c; echo x > /dev/null; echo y > /dev/full; ls /dev")
    assert out.startswith("1\n1\n") and "No space left" in out
    assert set(out.split()) >= set("console core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split()) - {"console", "mqueue"}
    assert not set(out.split()) & {"vda", "sda", "loop0", "mem", "kvm", "fuse"}


# --- the user namespace, and what has to go on working in it ---

@as_root
def test_the_step_is_in_a_user_namespace_of_its_own(machine, tmp_path):
    out = probe(machine, tmp_path / "c", "readlink /proc/self/ns/user; cat /proc/self/uid_map")
    assert out.split()[0] != os.readlink("/proc/self/ns/user")
    assert out.split()[1:4] == open("/proc/self/uid_map").read().split()[:3]


@as_root
def test_root_of_the_step_still_owns_every_id(machine, tmp_path):
    out = probe(machine, tmp_path / "c", "touch /f && chown 4294967294:3000000000 /f && chmod 6755 /f && stat -c '%u %g %a' /f && "
                "mkfifo /p && su app -c id && setpriv --dump | grep -i uid || true")
    assert out.startswith("4294967294 3000000000 755\n") or out.startswith("4294967294 3000000000 6755\n"), out
    assert "uid=1000(app)" in out


@as_root
def test_insecure_steps_have_the_machine(machine, tmp_path):
    dockerfile(tmp_path / "c", "FROM busybox:test\nRUN --security=insecure mknod /node c 1 5 && head -c 1 /node | wc -c > /out; "
               "readlink /proc/self/ns/user >> /out\n")
    out = machine.root_tar(tmp_path / "c", "--allow", "security.insecure").extractfile("out").read().decode()
    assert out.split() == ["1", os.readlink("/proc/self/ns/user")]


@as_root
def test_file_capabilities_are_those_of_every_machine(machine, tmp_path):
    tool = shutil.which("setcap", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not tool:
        pytest.skip("no setcap")
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        for path in [tool, *libraries(tool)]:
            archive.add(os.path.realpath(path), "opt/setcap" if path == tool else path)
    dockerfile(tmp_path / "c", "FROM busybox:test\nADD c.tar /\nRUN cp /bin/busybox /ping && /opt/setcap cap_net_raw+ep /ping\nRUN cp -a /ping /x && mv /ping /pong\n")
    shutil.copy(tmp_path / "c.tar", tmp_path / "c")
    value = machine.root_tar(tmp_path / "c").getmember("pong").pax_headers["SCHILY.xattr.security.capability"]
    # Revision 2: no number of a root that is another one elsewhere.
    assert value.encode("utf-8", "surrogateescape") == bytes.fromhex("0100000200200000000000000000000000000000")


@as_root
def test_without_a_user_namespace_the_worst_is_given_up_and_it_is_said(with_nodes, tmp_path):
    dockerfile(tmp_path / "c", "FROM nodes:test\nRUN (mknod /n c 1 5; arping -c 1 -I lo 127.0.0.1; head -c 1 /disk) > /out 2>&1; "
               "chown 1:1 /tmp; su app -c id >> /out; readlink /proc/self/ns/user >> /out\n")
    out = tmp_path / "out.tar"
    p = with_nodes.ix("build", "--progress", "plain", "-o", f"type=tar,dest={out}", tmp_path / "c", env={"IX_FAULT": "sandbox.userns:1"})
    assert p.err.count("steps run without a user namespace (") == 1, p
    said = tarfile.open(out).extractfile("out").read().decode()
    assert said.count("not permitted") == 2 and said.count("Permission denied") == 1 and "uid=1000(app)" in said, said
    assert os.readlink("/proc/self/ns/user") in said


# --- the network of the machine ---

def test_no_raw_packets_on_the_machines_network(machine, tmp_path):
    assert "Operation not permitted" in probe(machine, tmp_path / "c", "arping -c 1 -I lo 127.0.0.1")


def test_no_raw_sockets_on_the_machines_network(machine, tmp_path):
    assert "not permitted" in probe(machine, tmp_path / "c", "traceroute -I -m 1 -q 1 -w 1 127.0.0.1")


def test_without_network_low_ports_are_free(machine, tmp_path):
    dockerfile(tmp_path / "c", "FROM busybox:test\nRUN --network=none (echo hi | nc -l -p 80 & sleep 0.3; nc -w 1 127.0.0.1 80 < /dev/null > /out); wait\n")
    assert machine.root_tar(tmp_path / "c").extractfile("out").read() == b"hi\n"


@as_root
def test_the_machine_cannot_be_told_anything(machine, tmp_path):
    for line in ("hostname other", "mount -t tmpfs t /tmp", "mount -o remount,rw /sys", "umount /proc/sys", "echo 1 > /proc/sys/kernel/panic",
                 "echo b > /proc/sysrq-trigger", "swapoff -a x", "date -s 2001-01-01; test $(date +%Y) = 2001", "chroot / mount -t proc p /tmp", "ip link set lo down",
                 "dmesg -c", "unshare -U true", "unshare -m true", "nsenter -t 1 -m true", "insmod /x.ko", "head -c 1 /proc/kcore > /x && test -s /x",
                 "ls /sys/kernel/debug/* | grep ."):
        out = probe(machine, tmp_path / "c", line)
        assert not out.endswith("\n0\n") and out != "0\n", (line, out)


CALLS = r"""
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
static long old(long number, long a, long b, long c)
{
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
	return r;
}
static void say(const char *what, long r) { printf("%s %s\n", what, r < 0 ? strerrorname_np((int)-r) : "ok"); }
static long now(long number, long a, long b, long c) { long r = syscall(number, a, b, c, 0, 0); return r < 0 ? -errno : r; }
int main(void)
{
	unsigned *args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	args[0] = 40, args[1] = 1, args[2] = 0;
	say("vsock", now(SYS_socket, 40, 1, 0));
	say("vsock-high-bits", now(SYS_socket, 40 | 1L << 32, 1, 0));
	say("i386-vsock", old(359, 40, 1, 0));
	say("i386-socketcall-vsock", old(102, 1, (long)args, 0));
	say("x32-vsock", now(0x40000000 | SYS_socket, 40, 1, 0));
	say("i386-tiocsti", old(54, 0, 0x5412, (long)args));
	say("i386-mount", old(21, (long)args, (long)args, 0));
	say("i386-unshare", old(310, 0x10000000, 0, 0));
	say("i386-clone3", old(435, (long)args, 64, 0));
	say("i386-clone-newuser", old(120, 0x10000000 | 17, 0, 0));
	say("i386-mknod", old(14, (long)strcpy((char *)args + 64, "/n"), 020600, 0x0103));
	say("pidfd_getfd", now(438, 0, 0, 0));
	say("i386-pidfd_getfd", old(438, 0, 0, 0));
	say("bpf", now(SYS_bpf, 0, 0, 0));
	say("i386-bpf", old(357, 0, 0, 0));
	say("i386-keyctl", old(288, 0, 0, 0));
	say("unix", now(SYS_socket, 1, 1, 0));
	say("i386-unix", old(359, 1, 1, 0));
	return 0;
}
"""


def test_refused_calls_are_refused_however_they_are_made(machine, tmp_path):
    if os.uname().machine != "x86_64" or not shutil.which("cc"):
        pytest.skip("no compiler, or not the machine for it")
    (tmp_path / "c").mkdir()
    (tmp_path / "calls.c").write_text("#define _GNU_SOURCE\n" + CALLS)
    subprocess.run(["cc", "-static", "-o", tmp_path / "c/calls", tmp_path / "calls.c"], check=True)
    dockerfile(tmp_path / "c", "FROM busybox:test\nCOPY calls /\nRUN /calls > /out; echo $? >> /out\n")
    out = machine.root_tar(tmp_path / "c").extractfile("out").read().decode()
    if out.endswith("139\n"):
        pytest.skip("a kernel without 32-bit calls")
    said = dict(line.split() for line in out.splitlines()[:-1])
    vsock = subprocess.run(["python3", "-c", "import socket; socket.socket(40, 1)"], stderr=subprocess.DEVNULL).returncode == 0
    assert said.pop("unix") == said.pop("i386-unix") == "ok"
    if not vsock:
        assert said.pop("i386-socketcall-vsock") != "ok"
    assert said.pop("x32-vsock") == said.pop("i386-clone3") == "ENOSYS"
    assert set(said.values()) == {"EPERM"}, said


# --- the program ---

PRELOAD = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void)
{
	char path[300];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	FILE *out = fopen("/out", "w");
	int fd, chmod_r;
	path[n > 0 ? n : 0] = 0;
	chmod_r = chmod("/proc/self/exe", 06755);
	fprintf(out, "%s\nchmod %d\n", path, chmod_r);
	fd = open("/proc/self/exe", O_WRONLY);
	fprintf(out, "open %d\n", fd < 0 ? errno : 0);
	fd = open("/proc/self/exe", O_RDONLY);
	fprintf(out, "truncate %d\n", truncate("/proc/self/exe", 0) < 0 ? errno : 0);
	fclose(out);
	_exit(0);
}
"""


def test_the_program_is_not_the_machines_through_proc_self_exe(tmp_path):
    if not shutil.which("cc"):
        pytest.skip("no compiler")
    machine = Machine(tmp_path / "m")
    root = tmp_path / "image"
    (tmp_path / "p.c").write_text(PRELOAD)
    root.mkdir()
    subprocess.run(["cc", "-shared", "-fPIC", "-o", root / "p.so", tmp_path / "p.c"], check=True)
    for path in libraries(IX):
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path[1:])
    with tarfile.open(tmp_path / "image.tar", "w") as archive:
        archive.add(root, ".")
    mine = tmp_path / "ix"
    shutil.copy(IX, mine)
    machine.ix("import", tmp_path / "image.tar", "hostile:test")
    dockerfile(tmp_path / "c", 'FROM hostile:test\nENV LD_PRELOAD=/p.so ASAN_OPTIONS=verify_asan_link_order=0\nRUN ["/proc/self/exe", "--version"]\n')
    before = (mine.stat().st_mode, mine.read_bytes())
    r = subprocess.run([mine, "build", "--store", machine.store, "--config", machine.config, "--progress", "plain", "-o",
                        f"type=tar,dest={tmp_path}/out.tar", tmp_path / "c"], env=machine.env, stderr=subprocess.PIPE, text=True)
    if "ix-jail: it is for ix itself" in r.stderr:
        # Linked statically: nothing of the image becomes part of it.
        assert r.returncode != 0 and (mine.stat().st_mode, mine.read_bytes()) == before
        return
    assert r.returncode == 0, r.stderr
    out = tarfile.open(tmp_path / "out.tar").extractfile("out").read().decode()
    assert (mine.stat().st_mode, mine.read_bytes()) == before, out
    assert str(mine) not in out and "open 0" not in out and "truncate 0" not in out, out
    # Nothing was done to the copy that would keep it from being started again.
    dockerfile(tmp_path / "c2", 'FROM hostile:test\nENV LD_PRELOAD=/p.so ASAN_OPTIONS=verify_asan_link_order=0\nRUN ["/proc/self/exe", "--version"]\nRUN ["/proc/self/exe", "--help"]\n')
    subprocess.run([mine, "build", "--store", machine.store, "--config", machine.config, "-q", tmp_path / "c2"], env=machine.env, check=True)


# --- the store ---

OTHER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


def mode(path):
    return oct(path.stat().st_mode & 0o7777)


def open_way(path):
    """So that only the store itself is between it and the others."""
    for place in [path, *path.parents]:
        if place.stat().st_uid == os.geteuid() and str(place) != "/":
            place.chmod(place.stat().st_mode | 0o755)


@as_root
def test_another_user_finds_nothing_in_the_store(tmp_path):
    machine = Machine(tmp_path / "m")
    make_base(machine, tmp_path)
    machine.build(dockerfile(tmp_path / "c", "FROM busybox:test\nRUN cp /bin/busybox /s && chmod 4755 /s && mkdir -m 1777 /w\n"))
    open_way(machine.root)
    for line in ("ls {s}", "ls {s}/layers", "cat {s}/oci/index.json", "flock -n {s}/locks/alive true", "touch {s}/locks/x", "ls {s}/tmp", "stat {s}/ix.db",
                 "find {s}/layers -perm -4000 -exec {{}} id ;"):
        p = subprocess.run([*OTHER, "sh", "-c", line.format(s=machine.store).replace(" ;", " ';'")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert p.returncode != 0 and "Permission denied" in p.stderr and not p.stdout, (line, p)


def test_a_store_that_others_can_enter_is_closed(tmp_path):
    machine = Machine(tmp_path)
    machine.ix("images")
    assert mode(machine.store) == "0o700"
    machine.store.chmod(0o755)
    machine.ix("images")
    assert mode(machine.store) == "0o700"


@pytest.mark.parametrize("umask, expected", [(0o022, "0o755"), (0o077, "0o700"), (0o027, "0o750")])
def test_the_way_to_the_store_is_made_as_the_umask_says(tmp_path, umask, expected):
    machine = Machine(tmp_path)
    machine.store = tmp_path / "home/.local/share/ix"
    before = os.umask(umask)
    try:
        machine.ix("images")
    finally:
        os.umask(before)
    assert {mode(machine.store.parents[i]) for i in range(3)} == {expected} and mode(machine.store) == "0o700"


@as_root
def test_the_store_of_another_user_is_not_used(tmp_path):
    store = tmp_path / "theirs"
    store.mkdir()
    open_way(tmp_path)
    mine = tmp_path / "ix"
    shutil.copy(IX, mine)
    p = subprocess.run([*OTHER, mine, "images", "--store", store], stderr=subprocess.PIPE, text=True, env={"HOME": "/nonexistent", "PATH": os.environ["PATH"]})
    assert p.returncode == 1 and f"store {store} belongs to another user (0)" in p.stderr, p.stderr


@pytest.mark.parametrize("name", ["alive", "db"])
def test_a_long_wait_for_a_lock_is_said_with_its_holder(machine, tmp_path, name):
    dockerfile(tmp_path / "c", "FROM busybox:test\nRUN true\n")
    with subprocess.Popen(["flock", "-x", machine.store / "locks" / name, "sh", "-c", "echo; exec sleep 3"], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        p = machine.build(tmp_path / "c")
    said = [line for line in p.err.splitlines() if line.startswith(f"waiting for {machine.store}/locks/{name}, which process ")]
    assert len(said) == 1 and said[0].endswith(" holds"), p


def test_a_short_wait_is_not_said(machine, tmp_path):
    dockerfile(tmp_path / "c", "FROM busybox:test\nRUN true\n")
    with subprocess.Popen(["flock", "-x", machine.store / "locks/db", "sh", "-c", "echo; exec sleep 0.3"], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        p = machine.build(tmp_path / "c")
    assert "waiting for" not in p.err, p


# --- secrets and agents ---

def leftovers(since):
    return {str(p) for parent, prefix in (("/dev/shm", "ix-"), ("/tmp", "ix-ssh-")) for p in pathlib.Path(parent).glob(prefix + "*")} - since


@pytest.fixture
def secret(tmp_path):
    (tmp_path / "secret").write_text("hush-hush\n")
    return ["--secret", f"id=s,src={tmp_path}/secret"]


def test_a_secret_is_read_only_and_of_the_step_alone(machine, tmp_path, secret):
    for line, said in (("cat /run/secrets/s", "hush-hush\n0\n"), ("echo x > /run/secrets/s", "Read-only file system"), ("rm /run/secrets/s", "busy"),
                       ("chmod 777 /run/secrets/s", "Read-only file system"), ("dd if=/dev/zero of=/run/secrets/s count=9000", "Read-only"),
                       ("mv /run/secrets/s /x", ""), ("ls -ld /run/secrets/s | cut -c1-10", "-r--------")):
        dockerfile(tmp_path / "c", f"FROM busybox:test\nRUN --mount=type=secret,id=s ({line}) > /out 2>&1; echo $? >> /out\n")
        out = machine.root_tar(tmp_path / "c", *secret).extractfile("out").read().decode()
        assert said in out and (said or out != "0\n"), (line, out)


def test_a_killed_build_leaves_no_secret(machine, tmp_path, secret):
    before = leftovers(set())
    sock = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(sock))
        agent.listen()
        dockerfile(tmp_path / "c", "FROM busybox:test\nRUN --mount=type=secret,id=s --mount=type=ssh,required=true cat /run/secrets/s > /dev/null; "
                   "test -S $SSH_AUTH_SOCK && echo begun $((40 + 2)); sleep 60\n")
        ix = subprocess.Popen([IX, "build", "--store", machine.store, "--config", machine.config, "--progress", "plain", *secret, "--ssh", f"default={sock}",
                               tmp_path / "c"], stderr=subprocess.PIPE, env=machine.env, text=True)
        assert any("begun 42" in line for line in ix.stderr)
        during = leftovers(before)
        ix.kill()
        ix.wait()
        ix.stderr.close()
    assert not during and not leftovers(before)


def test_what_older_versions_left_is_removed(machine, tmp_path):
    old = time.time() - 3600
    places = {}
    for name, parent, prefix, file in (("secret", "/dev/shm", "ix-secret-", "secret"), ("young", "/dev/shm", "ix-secret-", "secret"),
                                       ("dead", "/tmp", "ix-ssh-", "agent"), ("alive", "/tmp", "ix-ssh-", "agent"), ("other", "/tmp", "ix-ssh-x", "agent")):
        # As mkdtemp(3) names them: six characters.
        place = pathlib.Path(f"{parent}/{prefix}{random.randrange(36 ** 5):06x}"[:len(parent) + 1 + len(prefix) + 6])
        place.mkdir(mode=0o700)
        (place / file).write_text("x") if name != "alive" else None
        places[name] = place
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(places["alive"] / "agent"))
        agent.listen()
        for name, place in places.items():
            if name != "young":
                os.utime(place, (old, old))
        try:
            machine.build(dockerfile(tmp_path / "c", "FROM busybox:test\nRUN true\n"), "--no-cache")
            assert {name for name, place in places.items() if place.exists()} == {"young", "alive", "other"}
        finally:
            for place in places.values():
                shutil.rmtree(place, ignore_errors=True)
