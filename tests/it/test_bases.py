"""Base images as the world's builders write them, in a registry and nowhere else."""

import hashlib
import io
import json
import tarfile
import urllib.request

import pytest

from ixlib import Machine, dockerfile, make_base, push_image, registry, text

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
PATH = "PATH=/bin"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A registry, and the base's root file system as a tar."""
    place = tmp_path_factory.mktemp("world")
    tar = make_base(Machine(place / "maker"), place)
    with registry(place / "registry") as host:
        yield host, tar.read_bytes()


@pytest.fixture
def machine(tmp_path):
    machine = Machine(tmp_path / "machine", env={"IX_CHECK_LAYERS": "1"})
    yield machine
    machine.ix("rm", "--everything")


# What their clients write beside rootfs, os and architecture.
WRITERS = {
    "docker import": (DOCKER, {"architecture": "amd64", "comment": "Imported from -", "created": "2024-01-02T03:04:05.123456789Z",
        "docker_version": "20.10.24", "container_config": {"Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "ExposedPorts": None,
        "Env": None, "Cmd": None, "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None, "Labels": None},
        "config": {"Hostname": "", "Domainname": "", "User": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "Tty": False,
        "OpenStdin": False, "StdinOnce": False, "Env": None, "Cmd": None, "Image": "", "Volumes": None, "WorkingDir": "", "Entrypoint": None,
        "OnBuild": None, "Labels": None}, "history": [{"created": "2024-01-02T03:04:05.123456789Z", "comment": "Imported from -"}], "os": "linux"}),
    "classic build": (DOCKER, {"architecture": "amd64", "id": "x", "parent": "y", "throwaway": True, "container": "0123", "config": {"Hostname": "1",
        "Env": [PATH], "Cmd": ["/bin/sh"], "ArgsEscaped": True, "Image": "sha256:00", "Volumes": None, "WorkingDir": "", "Entrypoint": None,
        "OnBuild": [], "Labels": {}, "MacAddress": "", "NetworkDisabled": True, "PublishService": "", "StopTimeout": 10},
        "created": "2016-01-02T03:04:05+02:00", "docker_version": "1.10.0",
        "history": [{"created": "2016-01-02T03:04:05Z", "created_by": "/bin/sh -c #(nop) ADD file:1 in /"},
                    {"created": "2016-01-02T03:04:05Z", "created_by": "/bin/sh -c #(nop) CMD", "empty_layer": True}], "os": "linux"}),
    "docker 29": (OCI, {"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05.1Z", "variant": "v2", "os.version": "",
        "os.features": None, "config": {"Env": [PATH], "Cmd": ["sh"], "WorkingDir": "/", "ArgsEscaped": False},
        "history": [{"created": "2026-01-02T03:04:05.1Z", "created_by": "COPY / / # buildkit", "comment": "buildkit.dockerfile.v0"}]}),
    "buildah": (OCI, {"created": "2024-05-06T07:08:09.123456789+02:00", "architecture": "amd64", "os": "linux", "config": {"Env": [PATH],
        "Cmd": ["/bin/sh"], "WorkingDir": "/", "Labels": {"io.buildah.version": "1.33.7"}, "StopSignal": "SIGTERM"},
        "history": [{"created": "2024-05-06T07:08:09.1Z", "created_by": "/bin/sh", "empty_layer": False}]}),
    "kaniko": (DOCKER, {"architecture": "amd64", "author": "kaniko", "created": "0001-01-01T00:00:00Z", "os": "linux", "config": {"Env": [PATH],
        "Cmd": None, "WorkingDir": "", "User": "", "Healthcheck": None, "ExposedPorts": {}, "Shell": None},
        "history": [{"author": "kaniko", "created": "0001-01-01T00:00:00Z", "created_by": "RUN x"},
                    {"author": "kaniko", "created": "0001-01-01T00:00:00Z", "created_by": "RUN y"}]}),
    "ko": (OCI, {"architecture": "amd64", "author": "github.com/ko-build/ko", "created": "1970-01-01T00:00:00Z", "os": "linux", "variant": "",
        "config": {"Entrypoint": ["/ko-app/x"], "Env": [PATH, "KO_DATA_PATH=/var/run/ko"], "User": "0:0", "WorkingDir": ""}, "history": None}),
    "jib": (DOCKER, {"created": "1970-01-01T00:00:00Z", "architecture": "amd64", "os": "linux", "config": {"Env": [], "Entrypoint": [],
        "Cmd": [], "ExposedPorts": {}, "Labels": {}, "Volumes": {}}, "history": []}),
    "nix": (DOCKER, {"architecture": "amd64", "config": {"Cmd": ["/bin/sh"]}, "os": "linux", "created": "1970-01-01T00:00:01+00:00",
        "history": [{"created": "1970-01-01T00:00:01+00:00", "comment": "store paths: []"}]}),
    "bazel": (DOCKER, {"architecture": "amd64", "os": "linux", "config": {"Env": [PATH], "WorkingDir": ""}}),
    "config null": (OCI, {"architecture": "amd64", "os": "linux", "config": None, "created": None, "history": None, "author": None, "variant": None}),
    "config absent": (OCI, {"architecture": "amd64", "os": "linux"}),
    "nothing said": (OCI, {}),
}

BUILD = ("FROM {base}\nRUN pwd > /pwd && id -u > /user\nWORKDIR rel/sub\nRUN pwd >> /pwd\nUSER app\nRUN id -un > /tmp/name\nCOPY f here/\n"
         "RUN cat /rel/sub/here/f\nENV A=b\nLABEL l=m\nEXPOSE 80\nCMD [\"x\"]\n")


@pytest.mark.parametrize("writer", WRITERS)
def test_bases_of_all_writers(world, machine, tmp_path, writer):
    host, tar = world
    media_type, config = WRITERS[writer]
    base = push_image(host, "w/" + writer.replace(" ", "-"), config, [tar], media_type=media_type)
    root = machine.root_tar(dockerfile(tmp_path / "c", BUILD.format(base=base), f="x"), "-t", "it")
    assert text(root, "pwd") == "/\n/rel/sub\n" and text(root, "user") == "0\n" and text(root, "tmp/name") == "app\n"
    got = machine.image_config("it")
    assert got["config"]["WorkingDir"] == "/rel/sub" and got["config"]["User"] == "app" and got["config"]["Cmd"] == ["x"]
    # Nothing that the base left open is written as if it had been said.
    machine.ix("build", "-q", "-t", "same", dockerfile(tmp_path / "same", f"FROM {base}\nLABEL a=b\n"))
    same = machine.image_config("same")["config"]
    before = config.get("config") or {}
    for name in ("Cmd", "Entrypoint", "User", "Volumes", "ExposedPorts", "StopSignal"):
        assert (same.get(name) or None) == (before.get(name) or None), name
    assert same.get("WorkingDir", "/") == (before.get("WorkingDir") or "/")
    with open(tmp_path / "out.tar", "wb") as out:
        out.write(machine.ix("export", "--type", "oci", "same").raw)


def test_user_and_workdir_and_command_are_inherited(world, machine, tmp_path):
    host, tar = world
    base = push_image(host, "inherit", {"architecture": "amd64", "os": "linux", "config": {"User": "app", "WorkingDir": "/home/app", "Env": [PATH, "A=b"],
        "Cmd": ["one"], "Entrypoint": ["two"], "Labels": {"l": ""}, "StopSignal": "9", "Shell": ["/bin/sh", "-ec"], "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": None}, "Healthcheck": {"Test": ["NONE"], "Interval": 0}}}, [tar])
    root = machine.root_tar(dockerfile(tmp_path / "c", f"FROM {base}\nRUN id -un > who && echo $A >> who\n"), "-t", "it")
    assert text(root, "home/app/who") == "app\nb\n"
    got = machine.image_config("it")["config"]
    assert (got["Cmd"], got["Entrypoint"], got["Labels"], got["StopSignal"]) == (["one"], ["two"], {"l": ""}, "9")
    assert got["ExposedPorts"] == {"80/tcp": {}} and got["Volumes"] == {"/v": {}} and got["Shell"] == ["/bin/sh", "-ec"]


WRONG = {
    "config.WorkingDir": 7, "config.User": [], "config.Env": "A=b", "config.Env ": [1], "config.Cmd": {}, "config.Entrypoint": 1,
    "config.Labels": {"a": 1}, "config.Labels ": ["a"], "config.ExposedPorts": ["80"], "config.Volumes": "v", "config.Shell": {}, "config.OnBuild": 1,
    "config.StopSignal": 9, "config.Healthcheck": "x", "config.Healthcheck.Test": "x", "config.Healthcheck.Interval": "1s", "config": [],
    "history": {}, "history ": [1], "history[0].created_by": 5, "rootfs": [], "rootfs.diff_ids": "x", "created": 5, "author": {}, "os": 1,
    "architecture": [], "variant": 1, "os.version": 1, "config.ArgsEscaped": "yes",
}


@pytest.mark.parametrize("field", WRONG)
def test_wrong_types_are_named_with_their_image(world, machine, tmp_path, field):
    host, tar = world
    config = {"architecture": "amd64", "os": "linux", "config": {"Healthcheck": {}}, "history": [{}]}
    name = field.strip()
    if name == "config.Healthcheck.Test" or name == "config.Healthcheck.Interval":
        config["config"]["Healthcheck"][name.rpartition(".")[2]] = WRONG[field]
    elif name.startswith("config."):
        config["config"][name[7:]] = WRONG[field]
    elif name.startswith("history["):
        config["history"][0]["created_by"] = WRONG[field]
    elif name == "rootfs.diff_ids":
        config["rootfs"] = {"type": "layers", "diff_ids": WRONG[field]}
    else:
        config[name] = WRONG[field]
    base = push_image(host, "wrong", config, [tar], tag="x%d" % list(WRONG).index(field))
    said = machine.failure("build", dockerfile(tmp_path / "c", f"FROM {base}\nRUN true\n")).err
    assert "wrong" in said and name.rpartition(".")[2].partition("[")[0] in said and base in said, said


def test_wrong_manifests_and_indexes_are_named(world, machine, tmp_path):
    host, tar = world
    good = push_image(host, "m", {"architecture": "amd64", "os": "linux"}, [tar], tag="good", answer="document")
    for i, (change, word) in enumerate([(lambda m: m.update(layers="x"), "layers"), (lambda m: m["config"].update(size="1"), "size"),
                                        (lambda m: m["layers"][0].update(size=-1), "size"), (lambda m: m["layers"][0].update(digest=1), "digest"),
                                        (lambda m: m["layers"][0].update(mediaType=1), "mediaType"), (lambda m: m.update(annotations=[]), "annotations"),
                                        (lambda m: m["layers"][0].update(annotations={"a": 1}), "annotations"), (lambda m: m.pop("layers"), "layers"),
                                        (lambda m: m.update(config=None), "config")]):
        document = json.loads(json.dumps(good))
        change(document)
        said = machine.failure("build", "--build-context", f"base=oci-layout://{layout(tmp_path / f'l{i}', document)}:x",
                               dockerfile(tmp_path / f"c{i}", "FROM base\nRUN true\n")).err
        assert word in said, (word, said)


def layout(place, document):
    """An OCI layout directory of one manifest, without its blobs."""
    body = json.dumps(document).encode()
    hexa = hashlib.sha256(body).hexdigest()
    (place / "blobs/sha256").mkdir(parents=True)
    (place / "blobs/sha256" / hexa).write_bytes(body)
    (place / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [{"mediaType": OCI, "digest": "sha256:" + hexa, "size": len(body),
        "annotations": {"org.opencontainers.image.ref.name": "x"}}]}))
    return place


def tar_of(*names):
    """Files alone, without the directories they are in."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
    return out.getvalue()


def test_layers_that_leave_out_directories_leave_them_as_they_are(world, machine, tmp_path):
    host, tar = world
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": [PATH]}}
    layer = tar_of("tmp/x", "home/app/f", "home/app/new/f", "usr/share/data/y")
    base = push_image(host, "parents", config, [tar, layer, tar_of("tmp/z", "home/app/new/g")])
    look = "RUN stat -c '%a %u:%g %n' /tmp /home/app /home/app/new /usr /tmp/x /tmp/z > /seen\n"
    root = machine.root_tar(dockerfile(tmp_path / "c", f"FROM {base}\n{look}"))
    assert text(root, "seen") == "1777 0:0 /tmp\n755 1000:1000 /home/app\n755 0:0 /home/app/new\n755 0:0 /usr\n644 0:0 /tmp/x\n644 0:0 /tmp/z\n"
    # The same layer on another image is another directory, whichever comes first.
    locked = io.BytesIO()
    with tarfile.open(fileobj=locked, mode="w") as archive:
        for name, mode, uid in (("tmp", 0o700, 5), ("home", 0o711, 6)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid = tarfile.DIRTYPE, mode, uid
            archive.addfile(info)
    other = push_image(host, "parents", config, [tar, locked.getvalue(), layer], tag="other")
    root = machine.root_tar(dockerfile(tmp_path / "d", f"FROM {other}\nRUN stat -c '%a %u:%g %n' /tmp /home /home/app > /seen\n"))
    assert text(root, "seen") == "700 5:0 /tmp\n711 6:0 /home\n755 1000:1000 /home/app\n"
    assert text(machine.root_tar(tmp_path / "c", "--no-cache"), "seen").startswith("1777 0:0 /tmp\n755 1000:1000")
    root = machine.root_tar(dockerfile(tmp_path / "e", f"FROM {base}\n"))
    assert root.getmember("tmp").mode == 0o1777 and root.getmember("home/app").uid == 1000


def test_a_directory_that_a_layer_removed_is_made_anew(world, machine, tmp_path):
    host, tar = world
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": [PATH]}}
    base = push_image(host, "removed", config, [tar, tar_of(".wh.tmp", "home/.wh.app"), tar_of("tmp/x", "home/app/f")])
    root = machine.root_tar(dockerfile(tmp_path / "c", f"FROM {base}\nRUN stat -c '%a %u:%g %n' /tmp /home/app > /seen\n"))
    assert text(root, "seen") == "755 0:0 /tmp\n755 0:0 /home/app\n"


# --- bases that are in a registry only ---

@pytest.fixture(scope="module")
def plain(world):
    host, tar = world
    small = io.BytesIO()
    with tarfile.open(fileobj=small, mode="w") as archive:
        info = tarfile.TarInfo("second")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"2"))
    return push_image(host, "plain/busybox", {"architecture": "amd64", "os": "linux", "config": {"Env": [PATH], "Cmd": ["sh"]}},
                      [tar, small.getvalue()])


LAZY = {
    "stage on a stage": "FROM {base} AS a\nFROM a\nRUN id\n",
    "copy from a stage": "FROM {base} AS a\nFROM scratch\nCOPY --from=a /bin/busybox /b\n",
    "copy from the image": "FROM scratch\nCOPY --from={base} /bin/busybox /b\n",
    "mount of a stage": "FROM {base} AS a\nFROM {base}\nRUN --mount=from=a,target=/m ls /m/bin/sh\n",
    "only config": "FROM {base}\nENV a=b\n",
    "three stages": "FROM {base} AS a\nENV x=y\nFROM a AS b\nLABEL a=b\nFROM b\nCOPY f /f\n",
    "copy without reading": "FROM {base}\nCOPY --link f /f\n",
    "workdir": "FROM {base} AS a\nFROM a\nWORKDIR /x\n",
    "cache mount from a stage": "FROM {base} AS a\nFROM {base}\nRUN --mount=type=cache,from=a,source=bin,target=/c ls /c/sh\n",
}


@pytest.mark.parametrize("case", LAZY)
@pytest.mark.parametrize("output", ["none", "oci", "tar", "docker", "local"])
def test_layers_are_fetched_when_needed(plain, machine, tmp_path, case, output):
    dockerfile(tmp_path / "c", LAZY[case].format(base=plain), f="x")
    words = [] if output == "none" else ["-o", f"type={output},dest={tmp_path}/out"]
    machine.build(tmp_path / "c", "-t", "it", *words)
    machine.build(tmp_path / "c", "-t", "it", *words)  # what is found is as good
    machine.build(tmp_path / "c", "--no-cache", *words)


def test_a_second_build_stands_on_a_first_that_fetched_nothing(plain, machine, tmp_path):
    machine.build(dockerfile(tmp_path / "a", f"FROM {plain}\nENV a=b\n"), "-t", "mine:1")
    assert "pull" not in machine.build(tmp_path / "a").err
    assert text(machine.root_tar(dockerfile(tmp_path / "b", "FROM mine:1\nRUN echo $a > /a\n")), "a") == "b\n"


@pytest.mark.parametrize("kind", ["oci", "docker", "tar", "local"])
def test_export_of_what_was_never_fetched(plain, machine, tmp_path, kind):
    machine.build(dockerfile(tmp_path / "a", f"FROM {plain}\nENV a=b\n"), "-t", "mine:1")
    machine.ix("export", "--type", kind, "-o", tmp_path / "out", "mine:1")


def test_run_push_and_verify_of_what_was_never_fetched(plain, world, machine, tmp_path):
    machine.build(dockerfile(tmp_path / "a", f"FROM {plain}\nENV a=b\n"), "-t", "mine:1")
    machine.ix("push", "mine:1", f"{world[0]}/elsewhere/mine:1")
    other = Machine(tmp_path / "other")
    assert other.ix("run", f"{world[0]}/elsewhere/mine:1", "--", "cat", "/second").out == "2"
    other.ix("rm", "--everything")
    assert machine.ix("run", "mine:1", "--", "cat", "/second").out == "2"


def test_lost_layers_of_a_base_are_fetched_again(plain, machine, tmp_path):
    dockerfile(tmp_path / "a", f"FROM {plain} AS a\nRUN true\nFROM a\nENV a=b\n")
    machine.build(tmp_path / "a", "-t", "mine:1")
    for blob in (machine.store / "oci/blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.unlink()
    machine.build(tmp_path / "a", "--no-cache", "-o", f"type=oci,dest={tmp_path}/out")


def test_what_nobody_has_is_named_with_where_it_was_sought(plain, world, machine, tmp_path):
    host, tar = world
    base = push_image(host, "gone", {"architecture": "amd64", "os": "linux"}, [tar + b"\0" * 1024])
    machine.build(dockerfile(tmp_path / "a", f"FROM {base}\nENV a=b\n"), "-t", "mine:1")
    document = json.loads(machine.ix("inspect", "mine:1").out)
    digest = document["manifest"]["layers"][0]["digest"]
    urllib.request.urlopen(urllib.request.Request(f"http://{host}/v2/gone/blobs/{digest}", method="DELETE")).close()
    said = machine.failure("run", "mine:1", "--", "true").err
    assert digest in said and f"{host}/gone" in said, said


def test_a_wrong_size_in_a_manifest_is_refused_though_the_blob_is_here(world, machine, tmp_path):
    host, tar = world
    config = {"architecture": "amd64", "os": "linux", "config": {"Env": [PATH]}}
    good = push_image(host, "sizes", config, [tar], tag="good")
    machine.build(dockerfile(tmp_path / "a", f"FROM {good}\nRUN true\n"))
    for i, size in enumerate((0, 1, 1 << 40)):
        bad = push_image(host, "sizes", config, [tar], tag=f"bad{i}", change=lambda m: m["layers"][0].update(size=size))
        for j, file in enumerate(("FROM {}\nRUN true\n", "FROM {}\nENV a=b\n", "FROM {} AS a\nFROM a\nCOPY --link f /f\n", "FROM scratch\nCOPY --from={} /bin /b\n")):
            said = machine.failure("build", dockerfile(tmp_path / f"b{i}{j}", file.format(bad), f="x")).err
            assert "sha256:" in said and f"sizes:bad{i}" in said, said


# --- layers that want too much ---

def pax_headers(count):
    """An entry behind extended headers that each add an attribute."""
    out = io.BytesIO()
    for i in range(count):
        record = b"SCHILY.xattr.user.a%d=" % i + b"x" * 60000 + b"\n"
        length = len(record) + 6
        record = b"%d " % length + record
        record = record if len(record) == length else b"%d " % len(record) + record.split(b" ", 1)[1]
        info = tarfile.TarInfo("pax")
        info.type, info.size = b"x", len(record)
        out.write(info.tobuf(tarfile.USTAR_FORMAT) + record + bytes(-len(record) % 512))
    info = tarfile.TarInfo("f")
    out.write(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    return out.getvalue()


def many_files(count, size=0):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for i in range(count):
            info = tarfile.TarInfo("f%d" % i)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    return out.getvalue()


TOO_MUCH = {
    "attributes": (lambda: pax_headers(40), {}, "extended headers of more than 1048576 bytes for one entry"),
    "files": (lambda: many_files(101), {"IX_MAX_LAYER_FILES": "100"}, "it unpacks to more than 100 files: if that is meant, set IX_MAX_LAYER_FILES"),
    "bytes": (lambda: many_files(2, 600000), {"IX_MAX_LAYER_SIZE": "1m"}, "it unpacks to more than 1048576 bytes: if that is meant, set IX_MAX_LAYER_SIZE"),
    "bytes behind the end": (lambda: many_files(1) + bytes(3 << 20), {"IX_MAX_LAYER_SIZE": "1m"}, "more than 1048576 bytes"),
    "a name": (lambda: tar_of("d/" * 2100 + "f"), {}, "a name of more than 4096 bytes"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_layers_that_want_too_much(world, tmp_path, what):
    host, tar = world
    make, env, message = TOO_MUCH[what]
    base = push_image(host, "toomuch", {"architecture": "amd64", "os": "linux", "config": {"Env": [PATH]}}, [tar, make()], tag=what.replace(" ", "-"))
    machine = Machine(tmp_path / "m", env=env)
    r = machine.failure("build", dockerfile(tmp_path / "c", f"FROM {base}\nRUN true\n"))
    assert message in r.err
    # Nothing of it stays but the blob that was fetched.
    left = [p for p in (machine.store / "tmp").iterdir()] if (machine.store / "tmp").is_dir() else []
    assert left == [] and len(list((machine.store / "layers").glob("*"))) <= 2
