"""The store when bits flip, blobs vanish and people remove it while builds run."""

import json
import os
import subprocess
import threading

import pytest

from ixlib import IX, Machine, dockerfile, make_base, push_image, registry, text

CONFIG = {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    place = tmp_path_factory.mktemp("world")
    tar = make_base(Machine(place / "maker"), place)
    with registry(place / "registry") as host:
        yield host, tar.read_bytes(), push_image(host, "busybox", CONFIG, [tar.read_bytes()])


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path / "machine", env={"IX_CHECK_LAYERS": "1"})
    yield machine
    machine.ix("rm", "--everything")


def damage(machine, kinds, how="flip"):
    """Damage blobs: layers, configs, manifests. Their digests."""
    done = []
    for blob in sorted((machine.store / "oci/blobs/sha256").iterdir()):
        data = blob.read_bytes()
        kind = "layer" if data[:2] == b"\x1f\x8b" else "config" if b'"rootfs"' in data else "manifest" if b'"layers"' in data else "other"
        if kind not in kinds or (kind == "layer" and len(data) < 500000 and "base" in kinds):
            continue
        middle = len(data) // 2
        blob.write_bytes(data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1:] if how == "flip" else data[:middle])
        done.append("sha256:" + blob.name)
    assert done
    return done


def forget_unpacked(machine):
    subprocess.run(["rm", "-rf", *map(str, (machine.store / "layers").iterdir())], check=True)


FILES = {"run": "FROM {}\nRUN true\n", "copy": "FROM {}\nCOPY f /f\n", "stage": "FROM {} AS a\nFROM a\nRUN id\n"}


@pytest.mark.parametrize("how", ["flip", "cut"])
@pytest.mark.parametrize("kinds", [("layer",), ("config",), ("manifest",), ("layer", "config", "manifest")])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_base_is_fetched_again(world, machine, tmp_path, how, kinds, file):
    dockerfile(tmp_path / "c", FILES[file].format(world[2]), f="x")
    machine.ix("pull", world[2])
    machine.ix("run", world[2], "--", "true")
    wrong = damage(machine, kinds, how)
    forget_unpacked(machine)
    said = machine.build(tmp_path / "c", "--no-cache", "-o", f"type=oci,dest={tmp_path}/out.tar").err
    assert all(digest in said for digest in wrong) and "damaged" in said, said
    assert sorted(os.listdir(machine.store / "corrupt")) == sorted(digest[7:] for digest in wrong)
    assert "damaged" not in machine.build(tmp_path / "c", "--no-cache", "-o", f"type=oci,dest={tmp_path}/out.tar").err


@pytest.mark.parametrize("how", ["flip", "cut"])
def test_a_damaged_blob_is_mended_before_it_is_pushed_or_written(world, machine, tmp_path, how):
    machine.build(dockerfile(tmp_path / "c", f"FROM {world[2]}\nRUN true\n"), "-t", "mine:1")
    # Another registry: within one the layer is mounted from where it is, whatever this machine has.
    with registry(tmp_path / "second") as second:
        for words in (["push", "mine:1", f"{second}/fresh:1"], ["export", "-o", tmp_path / "out.tar", "mine:1"],
                      ["export", "--type", "docker", "-o", tmp_path / "out2.tar", "mine:1"], ["pull", world[2]]):
            wrong = damage(machine, ("layer", "base"), how)
            done = machine.ix(*words)
            assert all(digest in done.err for digest in wrong), (words, done.err)
        other = Machine(tmp_path / "other")
        other.ix("run", f"{second}/fresh:1", "--", "true")
        other.ix("rm", "--everything")


def test_a_damaged_blob_that_nobody_has_is_named_and_made_again(world, machine, tmp_path):
    """The layer of a step: no registry has it."""
    dockerfile(tmp_path / "c", f"FROM {world[2]}\nRUN head -c 600000 /dev/urandom > /r\nRUN true\n")
    machine.build(tmp_path / "c", "-t", "mine:1")
    manifest = json.loads(machine.ix("inspect", "mine:1").out)["manifest"]
    blob = machine.store / "oci/blobs/sha256" / manifest["layers"][1]["digest"][7:]
    data = blob.read_bytes()
    blob.write_bytes(data[:-20] + bytes(20))
    said = machine.failure("push", "mine:1", f"{world[0]}/never:1").err
    assert blob.name in said and "damaged" in said, said
    assert not blob.exists()
    # Its step is not found any more: it is run again.
    dockerfile(tmp_path / "d", f"FROM {world[2]}\nRUN head -c 600000 /dev/urandom > /r\nRUN true\nRUN id\n")
    forget_unpacked(machine)
    machine.build(tmp_path / "d", "-t", "mine:2")
    machine.ix("push", "mine:2", f"{world[0]}/healed:2")


@pytest.mark.parametrize("how", ["flip", "cut", "lose"])
@pytest.mark.parametrize("next_file", ["RUN head -c 600000 /dev/urandom > /r\nRUN true\nRUN id\n", "RUN head -c 600000 /dev/urandom > /r\nENV a=b\n"])
def test_a_layer_that_nobody_has_is_made_again_by_the_build_that_misses_it(world, machine, tmp_path, how, next_file):
    dockerfile(tmp_path / "c", f"FROM {world[2]} AS first\nRUN head -c 600000 /dev/urandom > /r\nRUN true\nFROM first\nLABEL a=b\n")
    machine.build(tmp_path / "c", "-t", "mine:1")
    blob = machine.store / "oci/blobs/sha256" / json.loads(machine.ix("inspect", "mine:1").out)["manifest"]["layers"][1]["digest"][7:]
    data = blob.read_bytes()
    blob.unlink()
    if how != "lose":
        blob.write_bytes(data[:-300] + (bytes(300) if how == "flip" else b""))
    forget_unpacked(machine)
    dockerfile(tmp_path / "d", f"FROM {world[2]}\n{next_file}")
    machine.build(tmp_path / "d", "-o", f"type=tar,dest={tmp_path}/d.tar")
    # A stage that stands on it, found by its key.
    dockerfile(tmp_path / "e", f"FROM {world[2]} AS first\nRUN head -c 600000 /dev/urandom > /r\nRUN true\nFROM first\nRUN ls -l /r\n")
    machine.build(tmp_path / "e", "-o", f"type=oci,dest={tmp_path}/e.tar")
    machine.build(tmp_path / "c", "-o", f"type=oci,dest={tmp_path}/c.tar")


def test_a_blob_that_is_made_again_replaces_a_damaged_one(world, machine, tmp_path):
    dockerfile(tmp_path / "c", f"FROM {world[2]}\nCOPY f /f\n", f="x" * 5000)
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    machine.build(tmp_path / "c", "-t", "mine:1", env=env)
    wrong = damage(machine, ("layer",))
    machine.build(tmp_path / "c", "-t", "mine:1", "--no-cache", "-o", f"type=oci,dest={tmp_path}/out.tar", env=env)
    for digest in wrong:
        blob = machine.store / "oci/blobs/sha256" / digest[7:]
        assert subprocess.run(["sha256sum", blob], stdout=subprocess.PIPE, text=True, check=True).stdout.startswith(digest[7:])


# --- ix rm ---

def test_builds_survive_whoever_removes_the_store(world, tmp_path):
    machine = Machine(tmp_path / "machine")
    for i in range(5):
        dockerfile(tmp_path / f"c{i}", f"FROM {world[2]} AS a\nRUN sleep 0.3; echo {i} > /x\nRUN sleep 0.3; echo {i} >> /x\nFROM a\nRUN sleep 0.2\n"
                   "COPY --from=a /x /y\nCOPY f /f\n", f="x")
    over, removals = threading.Event(), {0: 0, 1: 0}
    said = set()

    def remove():
        while not over.is_set():
            done = machine.ix("rm", "--everything", check=False)
            assert done.status in (0, 1), done
            removals[done.status] += 1
            if done.status:
                said.add(done.err.strip())
            machine.ix("rm", "it0", check=False)

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for _ in range(3):
            builds = [subprocess.Popen([IX, "build", "--store", machine.store, "--config", machine.config, "--progress", "plain", "-t", f"it{i}",
                                        "-o", f"type=oci,dest={tmp_path}/out{i}.tar", tmp_path / f"c{i}"], stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True, env=machine.env) for i in range(5)]
            failed = [build.communicate()[0] for build in builds if build.wait() != 0]
            assert not failed, "\n".join(failed)
    finally:
        over.set()
        remover.join()
    assert removals[1] and all("in use" in line for line in said), (removals, said)
    machine.ix("rm", "--everything")
    assert not any((machine.store / name).exists() for name in ("oci", "layers", "ix.db"))
    machine.build(tmp_path / "c0")
    machine.ix("rm", "--everything")


def test_removing_a_name_takes_nothing_from_a_running_build(world, machine, tmp_path):
    machine.build(dockerfile(tmp_path / "base", f"FROM {world[2]}\nRUN echo b > /b\n"), "-t", "mine:1")
    dockerfile(tmp_path / "c", "FROM mine:1\nRUN sleep 1\nRUN cat /b\n")
    build = subprocess.Popen([IX, "build", "--store", machine.store, "--config", machine.config, tmp_path / "c"], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, env=machine.env)
    subprocess.run(["sleep", "0.4"], check=True)
    machine.ix("rm", "mine:1")
    assert build.wait() == 0, build.communicate()[0]
