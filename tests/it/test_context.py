"""Files of a context are what their key says, or the build fails: whoever reads them, and whatever is done to them meanwhile."""

import io
import os
import subprocess
import tarfile
import time

import pytest

from ixlib import IX, Machine, dockerfile, make_base, text


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    place = tmp_path_factory.mktemp("machine")
    machine = Machine(place, env={"IX_CHECK_LAYERS": "1"})
    (place / "base").mkdir()
    make_base(machine, place / "base")
    return machine


def archive(content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("inner")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


READERS = {
    "copy": ("COPY f /f", lambda c: c),
    "copy of its directory": ("COPY . /c", lambda c: c),
    "add": ("ADD f /f", lambda c: c),
    "add of an archive": ("ADD f /d/", archive),
    "bind mount of a file": ("RUN --mount=type=bind,source=f,target=/m cat /m > /f", lambda c: c),
    "bind mount of all": ("RUN --mount=type=bind,target=/m cat /m/f > /f", lambda c: c),
    "named context": ("COPY --from=named f /f", lambda c: c),
    "mount of a named context": ("RUN --mount=type=bind,from=named,target=/m cat /m/f > /f", lambda c: c),
}


def rewrite(path, new, old):
    path.write_bytes(new)


def rewrite_quietly(path, new, old):
    """The same size, and the time put back."""
    st = path.stat()
    path.write_bytes(new[:len(old)].ljust(len(old), b"z"))
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def replace(path, new, old):
    st = path.stat()
    fresh = path.with_name(".fresh")
    fresh.write_bytes(new[:len(old)].ljust(len(old), b"z"))
    os.utime(fresh, ns=(st.st_atime_ns, st.st_mtime_ns))
    fresh.rename(path)


def remove(path, new, old):
    path.unlink()


def start(machine, place, *words):
    return subprocess.Popen([IX, "build", "--store", machine.store, "--config", machine.config, "--progress", "plain", "-t", "it", *words, place],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=machine.env)


def wait_for(process, word):
    said = ""
    for line in process.stdout:
        said += line
        if word in line:
            return said
    raise AssertionError(said)


def case(place, reader, how):
    """A build that has computed its keys and waits before it reads f."""
    words = []
    if "named" in READERS[reader][0]:
        place, words = place / "named", ["--build-context", f"named={place / 'named'}"]
    place.mkdir(parents=True, exist_ok=True)
    return place / "f", words


@pytest.mark.parametrize("how", [rewrite, rewrite_quietly, replace, remove])
@pytest.mark.parametrize("age", ["old", "fresh"])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_edited_after_it_was_hashed_fails_the_build(machine, tmp_path, reader, age, how):
    instruction, form = READERS[reader]
    path, words = case(tmp_path / "c", reader, how)
    old, new = form(b"old " + os.urandom(4)), form(b"new!" + os.urandom(4))
    path.write_bytes(old)
    if age == "old":
        os.utime(path, (1600000000, 1600000000))
        time.sleep(0.02)
    dockerfile(tmp_path / "c", f"FROM busybox:test\nRUN echo waiting && sleep 0.7\n{instruction}\n")
    process = start(machine, tmp_path / "c", "--no-cache", *words)
    wait_for(process, "| waiting")
    how(path, new, old)
    said = process.communicate()[0]
    assert process.returncode == 1 and "/f changed while the build was running: build again" in said, said
    # Nothing of it stays under the old key.
    if how is not remove:
        process = start(machine, tmp_path / "c", *words)
        assert process.wait() == 0, process.communicate()
        path.write_bytes(old)
        machine.build(tmp_path / "c", "-t", "it", *words)
        got = machine.ix("run", "it", "--", "sh", "-c", "cat /f /c/f /d/inner 2> /dev/null; true").raw
        assert form is archive and old.find(got) > 0 or got == old, (got, old)


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_only_looks_changed_is_as_good(machine, tmp_path, reader):
    instruction, form = READERS[reader]
    path, words = case(tmp_path / "c", reader, None)
    path.write_bytes(form(b"content"))
    dockerfile(tmp_path / "c", f"FROM busybox:test\nRUN echo waiting && sleep 0.5\n{instruction}\n")
    process = start(machine, tmp_path / "c", "--no-cache", *words)
    wait_for(process, "| waiting")
    os.link(path, tmp_path / "link")
    path.with_name(".x").write_bytes(form(b"content"))
    path.with_name(".x").rename(path)
    assert process.wait() == 0, process.communicate()[0]


def test_a_file_written_while_it_is_read_fails_the_build(machine, tmp_path):
    dockerfile(tmp_path / "c", "FROM busybox:test\nCOPY big /big\n")
    big = tmp_path / "c/big"
    with open(big, "wb") as f:
        for _ in range(64):
            f.write(os.urandom(1 << 20))
    os.utime(big, (1600000000, 1600000000))
    seen = {0: 0, 1: 0}
    for delay in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8):
        process = start(machine, tmp_path / "c", "--no-cache", "-o", f"type=tar,dest={tmp_path}/out.tar")
        time.sleep(delay)
        with open(big, "r+b") as f:
            f.seek(63 << 20)
            f.write(os.urandom(100))
        status = process.wait()
        seen[status] += 1
        said = process.communicate()[0]
        if status:
            assert "changed while" in said, said
    assert seen[1] > 0, seen


def test_a_cache_mount_seeded_from_a_context_has_what_the_context_shows(machine, tmp_path):
    dockerfile(tmp_path / "c", "FROM busybox:test\nRUN --mount=type=cache,id=seeded,from=named,target=/m ls /m > /l\n")
    named = tmp_path / "named"
    named.mkdir()
    for name in ("shown", "hidden"):
        (named / name).write_text("x")
    (named / ".dockerignore").write_text("hidden\n")
    root = machine.root_tar(tmp_path / "c", "--build-context", f"named={named}")
    assert "shown" in text(root, "l") and "hidden" not in text(root, "l")
