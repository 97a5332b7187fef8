"""What ix makes, read by the tools people have: skopeo, podman, docker."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from ixlib import Machine, dockerfile, make_base, registry


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def run(*words, env=None, check=True, timeout=120):
    p = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})), timeout=timeout)
    if check:
        assert p.returncode == 0, p.stderr.decode()
    return p


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A small image in a registry, as an archive, and as a layout; made once."""
    where = tmp_path_factory.mktemp("image")
    machine = Machine(where / "machine")
    make_base(machine, where)
    context = dockerfile(where / "c", "FROM busybox:test\nENV WHO=world\nRUN mkdir /d && echo 1 > /d/a && ln /d/a /d/b && rm -r /usr/share/data\n"
                         "COPY --chown=app f /home/app/f\nUSER app\nCMD echo \"hello $WHO, $(cat ~/f), $(id -u)\"\n", f="from a file")
    with registry(where / "registry") as host:
        machine.ix("build", "-q", "-t", f"{host}/made/hello:1", "--push", "-o", f"type=docker,dest={where}/d.tar",
                   "-o", f"type=oci,dest={where}/layout,tar=false", context)
        machine.ix("build", "-q", "--no-cache", "--compression", "zstd", "-t", f"{host}/made/hello:zstd", "--push", context)
        yield host, where


def test_skopeo_copies_and_inspects(image, tmp_path):
    need("skopeo")
    host, where = image
    info = json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{host}/made/hello:1").stdout)
    assert "WHO=world" in info["Env"] and len(info["Layers"]) == 3
    run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{host}/made/hello:1", f"oci:{tmp_path}/copy:1")
    run("skopeo", "--insecure-policy", "copy", f"oci:{where}/layout", f"dir:{tmp_path}/dir")
    run("skopeo", "--insecure-policy", "copy", f"docker-archive:{where}/d.tar", f"dir:{tmp_path}/dir2")


def test_ix_reads_what_skopeo_wrote(image, tmp_path):
    need("skopeo")
    host, _ = image
    run("skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format", "v2s2",
        f"docker://{host}/made/hello:1", f"docker://{host}/made/schema2:1")
    machine = Machine(tmp_path)
    machine.ix("build", "-q", "-t", "child", dockerfile(tmp_path / "c", f"FROM {host}/made/schema2:1\nRUN cat ~/f\n"))
    manifest = json.loads(machine.ix("inspect", "child").out)["manifest"]
    assert all(layer["mediaType"].startswith("application/vnd.oci.") for layer in manifest["layers"])


@pytest.mark.parametrize("tag", ["1", "zstd"])
def test_podman_runs_it(image, tmp_path, tag):
    need("podman")
    host, _ = image
    short = pathlib.Path(tempfile.mkdtemp(prefix="pod"))  # podman wants short paths
    podman = ["podman", "--root", tmp_path / "root", "--runroot", short, "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
    try:
        run(*podman, "pull", "-q", "--tls-verify=false", f"{host}/made/hello:{tag}")
        inspect = json.loads(run(*podman, "image", "inspect", f"{host}/made/hello:{tag}").stdout)[0]
        assert inspect["Config"]["User"] == "app"
        # Some machines let nobody raise limits, and some have cgroups that one runtime or the other refuses.
        for runtime in ("runc", "crun"):
            p = run(*podman, "--runtime", runtime, "run", "--rm", "--network", "host", "--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000",
                    f"{host}/made/hello:{tag}", check=False)
            if p.returncode == 0:
                break
        if p.returncode != 0:
            # The image is there and unpacked; that no container can be started is this machine's affair.
            root = run(*podman, "image", "mount", f"{host}/made/hello:{tag}").stdout.decode().strip()
            assert (pathlib.Path(root) / "home/app/f").read_text() == "from a file"
            pytest.skip(f"podman unpacked the image, but cannot start containers here: {p.stderr.decode().splitlines()[-1][:120]}")
        assert p.stdout.decode() == "hello world, from a file, 1000\n"
    finally:
        run(*podman, "rmi", "-af", check=False)
        run("umount", "-l", tmp_path / "root/vfs", check=False)
        shutil.rmtree(short, ignore_errors=True)


@contextlib.contextmanager
def dockerd(where, host):
    need("dockerd")
    if os.geteuid() != 0:
        pytest.skip("dockerd needs root")
    socket = f"unix://{where}/docker.sock"
    command = ["dockerd", "--data-root", where / "data", "--exec-root", where / "exec", "--pidfile", where / "pid", "-H", socket, "--bridge", "none",
               "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs", "--insecure-registry", host]
    with open(where / "log", "wb") as log:
        daemon = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
    try:
        for _ in range(100):
            if run("docker", "-H", socket, "version", check=False).returncode == 0:
                break
            if daemon.poll() is not None:
                pytest.skip("dockerd does not start here: " + (where / "log").read_text().splitlines()[-1][:160])
            time.sleep(0.2)
        else:
            pytest.skip("dockerd does not answer here")
        yield socket
    finally:
        daemon.terminate()
        daemon.wait()
        run("umount", "-l", where / "exec/netns/default", check=False)


def test_docker_pulls_loads_and_runs_it(image, tmp_path):
    need("docker")
    host, where = image
    with dockerd(tmp_path, host) as socket:
        docker = ["docker", "-H", socket]
        run(*docker, "pull", "-q", f"{host}/made/hello:1")
        assert f"{host}/made/hello:1" in run(*docker, "load", "-i", where / "d.tar").stdout.decode()
        config = json.loads(run(*docker, "image", "inspect", f"{host}/made/hello:1").stdout)[0]["Config"]
        assert config["User"] == "app" and "WHO=world" in config["Env"]
        p = run(*docker, "run", "--rm", "--network", "host", f"{host}/made/hello:1", check=False)
        if p.returncode != 0:
            pytest.skip(f"docker pulled and loaded the image, but cannot start containers here: {p.stderr.decode().splitlines()[-1][:160]}")
        assert p.stdout.decode() == "hello world, from a file, 1000\n"


def test_store_is_a_layout_that_skopeo_reads(image, tmp_path):
    need("skopeo")
    host, where = image
    index = json.loads((where / "machine/store/oci/index.json").read_text())
    name = next(m["annotations"]["org.opencontainers.image.ref.name"] for m in index["manifests"] if "made/hello:1" in json.dumps(m))
    run("skopeo", "--insecure-policy", "copy", f"oci:{where}/machine/store/oci:{name}", f"dir:{tmp_path}/out")
