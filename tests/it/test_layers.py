"""Unpacked layers: what a step leaves for the next one is what anybody gets who unpacks the layer."""

import os
import subprocess

import pytest

from ixlib import Machine, dockerfile, make_base, members, text


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The tar of the base image."""
    place = tmp_path_factory.mktemp("base")
    return make_base(Machine(place / "maker"), place)


@pytest.fixture
def machine(base, tmp_path):
    machine = Machine(tmp_path / "machine", env={"IX_CHECK_LAYERS": "1"})
    machine.ix("import", base, "busybox:test")
    yield machine
    machine.ix("rm", "--everything")


CHANGED = "FROM busybox:test\nRUN chmod 700 /etc && chown 5:5 /etc && echo a > /f\nRUN true\nRUN stat -c '%a %u:%g' /etc > /seen\n"
OTHER = "FROM busybox:test\nRUN true\nUSER 1000\nRUN cat /etc/passwd\n"


def test_builds_do_not_contaminate_each_other(machine, tmp_path):
    dockerfile(tmp_path / "a", CHANGED)
    dockerfile(tmp_path / "b", OTHER)
    machine.build(tmp_path / "a")
    machine.build(tmp_path / "b")
    machine.build(tmp_path / "b", "--no-cache")
    assert text(machine.root_tar(tmp_path / "a", "--no-cache"), "seen") == "700 5:5\n"


def test_the_other_order_does_not_undo_anything(machine, tmp_path):
    dockerfile(tmp_path / "a", CHANGED)
    machine.build(dockerfile(tmp_path / "b", OTHER))
    assert text(machine.root_tar(tmp_path / "a"), "seen") == "700 5:5\n"


def test_parents_of_mounts_are_no_part_of_a_layer(machine, tmp_path):
    machine.build(dockerfile(tmp_path / "a", "FROM busybox:test\nRUN chmod 700 /usr /usr/share && chown 5 /usr && echo a > /f\n"
                             "RUN --mount=type=tmpfs,target=/usr/share/x/y --mount=type=cache,target=/usr/cache true\n"))
    machine.build(dockerfile(tmp_path / "b", "FROM busybox:test\n"
                             "RUN --mount=type=tmpfs,target=/usr/share/x/y --mount=type=cache,target=/usr/cache true\n"
                             "USER 1000\nRUN ls /usr/share/data && test ! -e /usr/share/x && test ! -e /usr/cache\n"))


def test_a_scratch_stage_gains_nothing_by_running(machine, tmp_path):
    machine.build(dockerfile(tmp_path / "a", "FROM busybox:test\nRUN true\n"))
    dockerfile(tmp_path / "s", "FROM scratch AS a\nCOPY --from=busybox:test /bin /bin\nRUN true\n"
               "RUN --mount=type=tmpfs,target=/x/y/z true\nFROM scratch\nCOPY --from=a / /\n")
    assert {name.split("/")[0] for name in members(machine.root_tar(tmp_path / "s"))} == {"bin"}


def test_local_export_of_an_empty_run_is_the_base(machine, tmp_path):
    def modes(name, file):
        out = tmp_path / ("out-" + name)
        machine.build(dockerfile(tmp_path / name, file), "-o", f"type=local,dest={out}")
        return {str(p.relative_to(out)): oct(p.lstat().st_mode) for p in out.rglob("*")}
    machine.build(dockerfile(tmp_path / "x", CHANGED))
    assert modes("ran", "FROM busybox:test\nRUN true\n") == modes("plain", "FROM busybox:test\n")


EVERYTHING = r"""FROM busybox:test
RUN set -e; rm -r /usr/share/data; mkdir /usr/share/data; echo x > /usr/share/data/new; mkfifo /pipe; ln -s a /link; ln -s /bin /d; \
    echo h > /h1; ln /h1 /h2; mkdir -p /deep/er; chmod 2751 /deep; chown 7:8 /deep/er; touch -d 2001-02-03 /deep/er; chmod 4755 /h1; \
    mknod /n c 1 3 || true; printf '' > /empty; mkdir /gone; rmdir /gone; nc -lU /sock & sleep 0.2; kill %1 || true
RUN rm -r /bin/vi /home && echo y >> /etc/group && mv /deep /deeper && chmod 711 / && touch /usr/share
RUN rm /h2 && mkdir /home && touch /home/f && rm -r /usr/share/data
"""


def test_a_layer_is_what_its_blob_unpacks_to(machine, tmp_path):
    machine.build(dockerfile(tmp_path / "c", EVERYTHING))
    dockerfile(tmp_path / "ip", "FROM busybox:test\nADD t.tar /usr/share/\nRUN ls /usr/share\n")
    (tmp_path / "t").mkdir()
    (tmp_path / "t/f").write_text("x")
    subprocess.run(["tar", "-cf", tmp_path / "ip/t.tar", "-C", tmp_path / "t", "."], check=True)
    machine.build(tmp_path / "ip")


def test_times_are_those_of_the_layer(machine, tmp_path):
    dockerfile(tmp_path / "c", "FROM busybox:test\nRUN echo a > /a && mkdir /d\nRUN stat -c %y /a /d > /seen\n")
    seen = text(machine.root_tar(tmp_path / "c"), "seen").split("\n")
    assert all(".000000000 " in line for line in seen if line), seen
    env = {"SOURCE_DATE_EPOCH": "1000000000"}
    seen = text(machine.root_tar(tmp_path / "c", "--no-cache", env=env), "seen").split("\n")
    assert all(line.startswith("2001-09-09 01:46:40") for line in seen if line), seen


@pytest.mark.skipif(os.geteuid() != 0, reason="extended attributes of the system need root")
def test_attributes_that_layers_do_not_carry_stay_behind(machine, tmp_path):
    dockerfile(tmp_path / "c", "FROM busybox:test\nCOPY setacl /setacl\nRUN /setacl /f\nRUN id\n")
    (tmp_path / "setacl.c").write_text(
        "#include <sys/xattr.h>\n#include <fcntl.h>\n#include <unistd.h>\n"
        "int main(void){static const unsigned char acl[]={2,0,0,0, 1,0,6,0,255,255,255,255, 2,0,7,0,232,3,0,0, 4,0,4,0,255,255,255,255,"
        " 16,0,7,0,255,255,255,255, 32,0,4,0,255,255,255,255};\n"
        "close(open(\"/f\",O_CREAT|O_WRONLY,0644));return setxattr(\"/f\",\"system.posix_acl_access\",acl,sizeof(acl),0)||"
        "setxattr(\"/f\",\"user.kept\",\"v\",1,0);}\n")
    subprocess.run(["gcc", "-static", "-o", tmp_path / "c/setacl", tmp_path / "setacl.c"], check=True)
    machine.build(tmp_path / "c")
