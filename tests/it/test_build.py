"""ix build PATH: what a lone Dockerfile means."""

import json
import subprocess
import tarfile

import pytest

from ixlib import dockerfile, Machine, make_base, members, text, write


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    make_base(machine, tmp_path_factory.mktemp("base"))
    return machine


def test_run_sees_environment_arguments_and_user(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nARG V=1\nENV A=x B=\"two words\"\nRUN echo \"$A|$B|$V|$(id -un)|$HOME|$PWD\" > /r\n"
               "USER app\nWORKDIR /w\nRUN echo \"$(id -u):$(id -g) $HOME $PWD\" > /tmp/u\n")
    tar = machine.root_tar(tmp_path)
    assert text(tar, "r") == "x|two words|1|root|/root|/\n"
    assert text(tar, "tmp/u") == "1000:1001 /home/app /w\n"
    assert members(tar)["w"].uid == 1000, "WORKDIR belongs to USER"


def test_build_arg_reaches_run_and_unused_one_is_named(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nARG V=1\nRUN echo $V > /v\n")
    assert text(machine.root_tar(tmp_path, "--build-arg", "V=7"), "v") == "7\n"
    r = machine.build(tmp_path, "--build-arg", "NOPE=1")
    assert "warning: build argument NOPE is used by no ARG" in r.err


def test_copy_files_directories_globs_and_ignore(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nCOPY a.txt /one\nCOPY src/ /src/\nCOPY *.md /docs/\n",
               **{"a.txt": "a", "src/x/y.txt": "y", "src/no.log": "no", "R.md": "r", "S.md": "s", ".dockerignore": "**/*.log\n"})
    got = members(machine.root_tar(tmp_path))
    assert {"one", "src/x/y.txt", "docs/R.md", "docs/S.md"} <= set(got)
    assert "src/no.log" not in got
    assert got["one"].uid == 0 and got["one"].mode & 0o777 == (tmp_path / "a.txt").stat().st_mode & 0o777


def test_ignore_file_beside_the_dockerfile_wins(machine, tmp_path):
    write(tmp_path, **{"D": "FROM busybox:test\nCOPY . /c/\n", "D.dockerignore": "skip\nD*\n", ".dockerignore": "keep\n", "keep": "k", "skip": "s"})
    got = members(machine.root_tar(tmp_path, "-f", tmp_path / "D"))
    assert "c/keep" in got and "c/skip" not in got


def test_exception_in_ignore_file_brings_a_file_back(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nCOPY . /c/\n", **{".dockerignore": "deep\n!deep/in/kept\n", "deep/in/kept": "1", "deep/in/lost": "2"})
    got = members(machine.root_tar(tmp_path))
    assert "c/deep/in/kept" in got and "c/deep/in/lost" not in got


def test_copy_chown_chmod_and_links_in_the_way(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nCOPY --chown=app:wheel --chmod=0640 f /lib/new/f\nCOPY --chown=7 f /num\n", f="x")
    got = members(machine.root_tar(tmp_path))
    assert got["lib"].issym(), "the link stays a link"
    file = got["usr/share/new/f"]
    assert (file.uid, file.gid, file.mode) == (1000, 10, 0o640)
    assert (got["usr/share/new"].uid, got["usr/share/new"].gid) == (1000, 10)
    assert (got["num"].uid, got["num"].gid) == (7, 7)


def test_copy_keeps_owner_and_mode_of_existing_parents(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nCOPY f /tmp/f\nCOPY f /home/app/f\n", f="x")
    got = members(machine.root_tar(tmp_path))
    assert got["tmp"].mode & 0o7777 == 0o1777
    assert got["home/app"].uid == 1000


def test_copy_link_does_not_look_at_what_is_below(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nCOPY --link f /lib/f\nCOPY --link f /tmp/f\n", f="x")
    got = members(machine.root_tar(tmp_path))
    assert got["lib"].isdir() and "lib/f" in got, "the link at the destination is replaced"
    assert got["tmp"].mode & 0o7777 == 0o755


def test_copy_from_inner_stage_number_and_name(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test AS one\nRUN mkdir /o && echo 1 > /o/f && ln -s f /o/l && chown app /o/f\n"
               "FROM scratch AS two\nCOPY --from=0 /o /copy\nFROM scratch\nCOPY --from=one o/f /f\nCOPY --from=two /copy/ /all/\n")
    got = members(machine.root_tar(tmp_path))
    assert got["f"].uid == 1000 and got["all/l"].linkname == "f"


def test_only_the_targets_stages_run(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test AS bad\nRUN exit 9\nFROM busybox:test AS good\nRUN true\nFROM bad\nRUN true\n")
    machine.build(tmp_path, "--target", "good")
    r = machine.failure("build", tmp_path, "--target", "goood")
    assert 'target stage "goood" could not be found (did you mean good?)' in r.err


def test_heredocs_as_script_as_input_and_as_file(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nENV N=env\nRUN <<EOF\nset -e\necho script > /s\nEOF\n"
               "RUN cat <<A > /in && cat <<'B' >> /in\nvalue $N\nA\nliteral $N\nB\n"
               "COPY <<conf <<'raw' /etc/app/\nn=$N\nconf\nn=$N\nraw\nRUN <<EOF\n#!/bin/ash\necho \"$0\" > /interpreter\nEOF\n")
    tar = machine.root_tar(tmp_path)
    assert text(tar, "s") == "script\n"
    assert text(tar, "in") == "value env\nliteral $N\n"
    assert text(tar, "etc/app/conf") == "n=env\n" and text(tar, "etc/app/raw") == "n=$N\n"
    assert text(tar, "interpreter") == "/dev/pipes/EOF\n"
    assert "run" not in members(tar), "mount points are taken away again"


def test_add_unpacks_local_archives(machine, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t/f").write_text("in tar")
    for name, mode in (("a.tar", "w"), ("b.bin", "w:gz"), ("c.tar.bz2", "w:bz2"), ("d.txz", "w:xz")):
        with tarfile.open(tmp_path / name, mode) as tar:
            tar.add(tmp_path / "t/f", f"from-{name}")
    dockerfile(tmp_path, "FROM busybox:test\nADD a.tar b.bin c.tar.bz2 d.txz plain /x/\n", plain="p")
    got = members(machine.root_tar(tmp_path))
    assert {"x/from-a.tar", "x/from-b.bin", "x/from-c.tar.bz2", "x/from-d.txz", "x/plain"} <= set(got)


def test_mounts(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test AS other\nRUN echo o > /o\nFROM busybox:test\n"
               "RUN --mount=type=bind,source=ctx,target=/ctx --mount=type=bind,from=other,source=/o,target=/o "
               "--mount=type=tmpfs,target=/t,size=1m --mount=type=cache,target=/cache --mount=type=secret,id=s "
               "--mount=type=secret,id=s,env=S "
               "cat /ctx/f /o /run/secrets/s > /r && echo $S >> /r && touch /cache/x /t/x && ! touch /ctx/y && ls -l /run/secrets/s >> /r\n"
               "RUN --mount=type=cache,target=/cache ls /cache > /c\n", ctx__f="ctx\n", ctx__skip="no", **{".dockerignore": "ctx/skip\n"})
    write(tmp_path, secret="hush\n")
    tar = machine.root_tar(tmp_path, "--secret", f"id=s,src={tmp_path}/secret")
    assert text(tar, "r").splitlines()[:4] == ["ctx", "o", "hush", "hush"]
    assert text(tar, "r").splitlines()[4].startswith("-r--------")
    assert text(tar, "c") == "x\n"
    assert not {"t", "ctx", "cache", "run", "o"} & {n for n in members(tar)}


def test_required_secret_that_is_missing_names_its_line(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN --mount=type=secret,id=tok,required true\n")
    r = machine.failure("build", tmp_path)
    assert "Dockerfile:2:1" in r.err and "secret tok: not found" in r.err


def test_network_none_has_only_loopback(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN --network=none ls /sys/class/net > /n; ip -o link | wc -l > /n\n")
    assert text(machine.root_tar(tmp_path), "n") == "1\n"


def test_failed_step_shows_status_line_and_log(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN echo before\nRUN echo the reason >&2; exit 7\n")
    r = machine.failure("build", "--progress", "plain", tmp_path)
    assert r.status == 1
    assert "Dockerfile:3:1: RUN echo the reason >&2; exit 7: did not complete successfully: exit code: 7" in r.err
    assert "image | the reason" in r.err
    quiet = machine.failure("build", "-q", tmp_path)
    assert "the reason" in quiet.err and "before" not in quiet.err


def test_steps_are_reused_and_no_cache_runs_them_again(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN cat /proc/sys/kernel/random/uuid > /a\nCOPY f /f\nRUN cat /proc/sys/kernel/random/uuid > /b\n", f="1")
    first = machine.root_tar(tmp_path)
    write(tmp_path, f="2")
    second = machine.root_tar(tmp_path)
    assert text(first, "a") == text(second, "a") and text(first, "b") != text(second, "b")
    third = machine.root_tar(tmp_path, "--no-cache")
    assert text(third, "a") != text(second, "a")


def test_same_inputs_give_the_same_layers(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nCOPY d /d\n", d__b="b", d__a="a")
    env = {"SOURCE_DATE_EPOCH": "1700000000"}
    one = machine.ix("build", "-q", "--no-cache", tmp_path, env=env).out
    two = machine.ix("build", "-q", "--no-cache", tmp_path, env=dict(env, TZ="Asia/Tokyo", LC_ALL="C")).out
    assert one == two


def test_named_contexts(machine, tmp_path):
    other = write(tmp_path / "other", f="named")
    layout = tmp_path / "layout"
    machine.ix("build", "-q", "-o", f"type=oci,dest={layout},tar=false", dockerfile(tmp_path / "l", "FROM scratch\nCOPY f /f\n", f="layout"))
    dockerfile(tmp_path / "c", "FROM busybox:test AS base\nFROM base\nCOPY --from=files f /a\nCOPY --from=lay f /b\nCOPY --from=img etc/passwd /c\n")
    tar = machine.root_tar(tmp_path / "c", "--build-context", f"files={other}", "--build-context", f"lay=oci-layout://{layout}",
                           "--build-context", "img=docker-image://busybox:test")
    assert text(tar, "a") == "named" and text(tar, "b") == "layout" and "root:" in text(tar, "c")


def test_dockerfile_on_standard_input_has_no_context(machine):
    machine.ix("build", "-q", "-", input=b"FROM busybox:test\nRUN true\n")
    r = machine.failure("build", "-q", "-", input=b"FROM busybox:test\nCOPY x /\n")
    assert "there is none" in r.err


def test_image_config(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nENV A=1\nLABEL l=\"v w\"\nEXPOSE 80 53/udp\nVOLUME /data\nWORKDIR /app\nUSER app\n"
               "STOPSIGNAL SIGINT\nSHELL [\"/bin/sh\", \"-ec\"]\nHEALTHCHECK --interval=5s --retries=2 CMD true\nENTRYPOINT [\"/bin/sh\"]\nCMD echo hi\n"
               "ONBUILD RUN echo trigger\n")
    machine.ix("build", "-q", "-t", "cfg", tmp_path)
    image = machine.image_config("cfg")
    config = image["config"]
    assert config["Env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1"]
    assert config["Labels"] == {"l": "v w"} and config["ExposedPorts"] == {"53/udp": {}, "80/tcp": {}}
    assert config["Volumes"] == {"/data": {}} and config["WorkingDir"] == "/app" and config["User"] == "app"
    assert config["StopSignal"] == "SIGINT" and config["Shell"] == ["/bin/sh", "-ec"]
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000, "Retries": 2}
    assert config["Entrypoint"] == ["/bin/sh"] and config["Cmd"] == ["/bin/sh", "-ec", "echo hi"]
    assert config["OnBuild"] == ["RUN echo trigger"]
    layers = [h for h in image["history"] if not h.get("empty_layer")]
    assert len(layers) == len(image["rootfs"]["diff_ids"])


def test_onbuild_of_a_local_base_runs_in_the_child(machine, tmp_path):
    machine.ix("build", "-q", "-t", "trigger", dockerfile(tmp_path / "p", "FROM busybox:test\nONBUILD COPY f /from-trigger\nONBUILD RUN echo t > /t\n"))
    tar = machine.root_tar(dockerfile(tmp_path / "c", "FROM trigger\nRUN cat /from-trigger /t > /both\n", f="child\n"))
    assert text(tar, "both") == "child\nt\n"


def test_entrypoint_drops_the_inherited_command(machine, tmp_path):
    machine.ix("build", "-q", "-t", "hascmd", dockerfile(tmp_path / "p", "FROM busybox:test\nCMD [\"a\"]\n"))
    machine.ix("build", "-q", "-t", "child", dockerfile(tmp_path / "c", "FROM hascmd\nENTRYPOINT [\"e\"]\n"))
    assert "Cmd" not in machine.image_config("child")["config"]


def test_whiteouts_and_hard_links_survive_layers(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN mkdir /d && echo 1 > /d/a && ln /d/a /d/b && echo 2 > /d/c\nRUN rm /d/c && rm -r /usr/share/data\n"
               "RUN rm -r /d && mkdir /d && echo new > /d/n\n")
    got = members(machine.root_tar(tmp_path))
    assert "usr/share/data" not in got and {n for n in got if n.startswith("d/")} == {"d/n"}


def test_names_in_any_bytes(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nCOPY d /d\n", d__x="x")
    (tmp_path / "d" / "späce and 'quote'").write_text("1")
    with open(bytes(tmp_path / "d") + b"/\xff\xfe", "wb") as f:
        f.write(b"2")
    (tmp_path / "d" / ("long" * 50)).write_text("3")
    with machine.root_tar(tmp_path) as tar:
        names = {n.encode("utf-8", "surrogateescape") for n in tar.getnames()}
    assert b"d/\xff\xfe" in names and "d/späce and 'quote'".encode() in names and b"d/" + b"long" * 50 in names


def test_outputs_local_docker_and_oci(machine, tmp_path):
    context = dockerfile(tmp_path / "c", "FROM busybox:test\nCOPY f /f\n", f="out")
    machine.ix("build", "-q", "-t", "out:1", "-o", tmp_path / "dir", "-o", f"type=docker,dest={tmp_path}/d.tar", "-o", f"type=oci,dest={tmp_path}/o.tar", context)
    assert (tmp_path / "dir/f").read_text() == "out"
    with tarfile.open(tmp_path / "d.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        assert manifest[0]["RepoTags"] == ["docker.io/library/out:1"]
    with tarfile.open(tmp_path / "o.tar") as tar:
        assert "index.json" in tar.getnames() and "oci-layout" in tar.getnames()
    assert tarfile.open(fileobj=__import__("io").BytesIO(machine.ix("build", "-q", "-o", "-", context).raw)).extractfile("f").read() == b"out"


def test_images_rm_run_and_iidfile(machine, tmp_path):
    context = dockerfile(tmp_path / "c", "FROM busybox:test\nENV WHO=world\nCMD echo hello $WHO\n")
    machine.ix("build", "-q", "-t", "greet:1", "--iidfile", tmp_path / "iid", context)
    assert (tmp_path / "iid").read_text().startswith("sha256:")
    assert "docker.io/library/greet:1" in machine.ix("images").out
    assert machine.ix("run", "greet:1").out == "hello world\n"
    assert machine.ix("run", "greet:1", "-e", "WHO=you", "--", "sh", "-c", "echo $WHO; exit 3", check=False).status == 3
    machine.ix("rm", "greet:1")
    assert "greet:1" not in machine.ix("images").out
    assert "no image named" in machine.failure("rm", "greet:1").err


def test_zstd_layers(machine, tmp_path):
    context = dockerfile(tmp_path, "FROM scratch\nCOPY f /f\n", f="z" * 5000)
    machine.ix("build", "-q", "--no-cache", "-t", "z", "--compression", "zstd", context)
    assert json.loads(machine.ix("inspect", "z").out)["manifest"]["layers"][0]["mediaType"].endswith("tar+zstd")
    assert text(machine.root_tar(context), "f") == "z" * 5000


@pytest.mark.threads
def test_steps_at_once_have_one_cache_below_another(machine, tmp_path):
    below = 30
    mounts = "--mount=type=cache,id=outer,target=/c " + " ".join(f"--mount=type=cache,id=inner{i},target=/c/deep{i}/in" for i in range(below))
    stages = "".join(f"FROM busybox:test AS s{i}\nRUN {mounts} touch /c/deep{below - 1}/in/{i} && test ! -e /c/deep{below - 1}/{i}\n" for i in range(8))
    dockerfile(tmp_path, stages + "FROM busybox:test\n" + "".join(f"COPY --from=s{i} /etc/passwd /p{i}\n" for i in range(8)))
    machine.ix("build", "-q", "-j", "8", tmp_path)


@pytest.mark.parametrize("content,message", [
    ("", "Dockerfile:1:1: file with no instructions"),
    ("FORM x\n", "Dockerfile:1:1: unknown instruction: FORM (did you mean FROM?)"),
    ("RUN x\n", "Dockerfile:1:1: no build stage in current context"),
    ("FROM busybox:test\nCOPY --form=x a b\n", "Dockerfile:2:6: unknown flag: --form (did you mean --from?)"),
    ("FROM busybox:test\nCOPY a\n", "Dockerfile:2:1: COPY requires at least two arguments"),
    ("FROM busybox:test\nCOPY nope /x\n", 'Dockerfile:2:1: COPY: "/nope": not found'),
    ("FROM busybox:test\nCOPY --parents=maybe a b/\n", "Dockerfile:2:6: expecting boolean value for flag --parents, not: maybe"),
    ("FROM busybox:test\nCOPY https://x/y /z\n", "Dockerfile:2:1: source can't be a URL for COPY: use ADD"),
    ("FROM busybox:test\nRUN --device=x y\n", "Dockerfile:2:1: RUN --device (docker/dockerfile:1-labs, CDI devices) is not supported"),
    ("FROM busybox:test\nRUN --mount=type=bnd,target=/x y\n", 'Dockerfile:2:5: unsupported mount type "bnd" (did you mean bind?)'),
    ("FROM busybox:test\nRUN <<EOF\nx\n", "Dockerfile:2:5: unterminated heredoc: no line says EOF"),
    ("FROM busybox:test\nEXPOSE 99999\n", "Dockerfile:2:1: invalid containerPort: 99999"),
])
def test_mistakes_have_a_place(machine, tmp_path, content, message):
    r = machine.failure("build", "-q", dockerfile(tmp_path, content))
    assert message in r.err, r


def test_unknown_options_and_commands_name_the_nearest(machine, tmp_path):
    assert "unknown option --taget (did you mean --target?)" in machine.failure("build", "--taget", "x", tmp_path).err
    assert "(did you mean build?)" in machine.failure("biuld").err


def test_hostile_links_in_an_image_do_not_lead_out(machine, tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        for name, target in (("up", "/"), ("esc", "../../../../.."), ("etc/resolv.conf", "/../../run/resolv/conf")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    dockerfile(tmp_path, "FROM busybox:test AS evil\nADD evil.tar /\n"
               "FROM evil\nCOPY f /up/../up/owned\nCOPY f /esc/escaped\nRUN cat /up/owned > /seen && cat /etc/resolv.conf > /dev/null\nWORKDIR /up/made\n", f="inside")
    tar = machine.root_tar(tmp_path)
    assert text(tar, "owned") == "inside" and text(tar, "seen") == "inside" and text(tar, "escaped") == "inside"
    assert "made" in members(tar) and "run/resolv" not in members(tar)


def test_archive_entries_cannot_climb_out(machine, tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        info = tarfile.TarInfo("../../climbed")
        info.size = 1
        tar.addfile(info, __import__("io").BytesIO(b"x"))
    got = members(machine.root_tar(dockerfile(tmp_path, "FROM busybox:test\nADD evil.tar /deep/er/\n")))
    assert "deep/er/climbed" in got and "climbed" not in got


def test_symlink_in_the_context_cannot_reach_the_machine(machine, tmp_path):
    context = dockerfile(tmp_path / "c", "FROM busybox:test\nCOPY leak /x\n")
    write(tmp_path, secret="outside")
    (context / "leak").symlink_to("../secret")
    assert "not found" in machine.failure("build", "-q", context).err
    (context / "leak").unlink()
    (context / "leak").symlink_to("/etc/hostname")
    assert "not found" in machine.failure("build", "-q", context).err


def test_steps_cannot_mount_or_load_keys(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN ! mount -t tmpfs x /tmp 2>/dev/null && ! unshare -m true 2>/dev/null && test ! -e /dev/sda && "
               "test \"$(cat /proc/kcore | wc -c)\" = 0 && ! echo 1 > /proc/sys/kernel/panic\nRUN ls /proc/self/fd | wc -l > /fds\n")
    assert int(text(machine.root_tar(tmp_path), "fds")) <= 4
