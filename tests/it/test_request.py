"""What a build request says besides the Dockerfile: outputs and their forms, settings of steps, checks and calls."""

import json
import re
import tarfile

import pytest

from ixlib import dockerfile, Machine, make_base, registry, text


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    make_base(machine, tmp_path_factory.mktemp("base"))
    return machine


def layout(path):
    """(manifest, config) of an OCI archive."""
    with tarfile.open(path) as tar:
        def blob(digest):
            return json.load(tar.extractfile("blobs/" + digest.replace(":", "/")))
        manifest = blob(json.load(tar.extractfile("index.json"))["manifests"][0]["digest"])
        return manifest, blob(manifest["config"]["digest"])


def test_several_outputs_in_several_forms(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN echo x > /x\n")
    machine.build(tmp_path, "-o", f"type=oci,dest={tmp_path}/z.tar,compression=zstd,force-compression=true,annotation.a=b",
                  "-o", f"type=oci,dest={tmp_path}/u.tar,compression=uncompressed", "-o", f"type=local,dest={tmp_path}/dir")
    z, zc = layout(tmp_path / "z.tar")
    u, uc = layout(tmp_path / "u.tar")
    assert [layer["mediaType"].rpartition(".")[2] for layer in z["layers"]] == ["tar+zstd"] * 2 and z["annotations"]["a"] == "b"
    assert [layer["mediaType"].rpartition(".")[2] for layer in u["layers"]] == ["tar+gzip", "tar"], "the base image's layer stays as it is"
    assert zc["rootfs"] == uc["rootfs"] and (tmp_path / "dir/x").read_text() == "x\n"


def test_docker_media_types_and_platform_split_and_delete(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch\nCOPY Dockerfile /D\n")
    (tmp_path / "out/linux_amd64").mkdir(parents=True)
    (tmp_path / "out/linux_amd64/old").write_text("old")
    machine.build(tmp_path, "-o", f"type=oci,dest={tmp_path}/d.tar,oci-mediatypes=false",
                  "-o", f"type=local,dest={tmp_path}/out,platform-split=true,mode=delete")
    assert layout(tmp_path / "d.tar")[0]["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert [p.name for p in (tmp_path / "out/linux_amd64").iterdir()] == ["D"]


def test_epoch_clamps_times_and_makes_images_equal(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch\nARG SOURCE_DATE_EPOCH\nCOPY f /f\nLABEL e=$SOURCE_DATE_EPOCH\n", f="f")
    out = tmp_path / "e.tar"
    machine.build(tmp_path, "--no-cache", "-o", f"type=oci,dest={out},rewrite-timestamp=true", env={"SOURCE_DATE_EPOCH": "1000"})
    first = out.read_bytes()
    config = layout(out)[1]
    assert config["created"] == "1970-01-01T00:16:40Z" and config["config"]["Labels"] == {"e": "1000"}
    machine.build(tmp_path, "--no-cache", "-o", f"type=oci,dest={out},rewrite-timestamp=true", "--build-arg", "SOURCE_DATE_EPOCH=1000")
    assert out.read_bytes() == first
    assert "invalid SOURCE_DATE_EPOCH" in machine.failure("build", str(tmp_path), env={"SOURCE_DATE_EPOCH": "yes"}).err


def test_epoch_after_an_ordinary_build_has_its_effect(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN echo x > /f\nCOPY f /g\n", f="f")
    out = tmp_path / "e.tar"
    machine.build(tmp_path, "-o", f"type=oci,dest={out}")
    machine.build(tmp_path, "-o", f"type=oci,dest={out}", env={"SOURCE_DATE_EPOCH": "1000"})
    first, config = out.read_bytes(), layout(out)[1]
    assert config["created"] == "1970-01-01T00:16:40Z" and config["history"][-1]["created"] == "1970-01-01T00:16:40Z"
    with machine.root_tar(tmp_path, env={"SOURCE_DATE_EPOCH": "1000"}) as tar:
        assert [tar.getmember(name).mtime for name in ("f", "g")] == [1000, 1000]
    # Another time, and back: the first image is found again, to the byte.
    machine.build(tmp_path, "-o", f"type=oci,dest={out}", "--build-arg", "SOURCE_DATE_EPOCH=2000")
    assert layout(out)[1]["created"] == "1970-01-01T00:33:20Z"
    r = machine.build(tmp_path, "-o", f"type=oci,dest={out}", env={"SOURCE_DATE_EPOCH": "1000"})
    assert out.read_bytes() == first and "0 built" in r.err, r


def test_plan_and_explain_take_what_build_takes(machine, tmp_path):
    (tmp_path / "ix.yaml").write_text("project: p\nregistry: none\nstages:\n  a: { dockerfile: Dockerfile }\n")
    dockerfile(tmp_path, "FROM busybox:test\nARG V=1\nRUN --mount=type=secret,id=s cat /etc/hosts\n")
    (tmp_path / "s").write_text("x")
    changes = [("--add-host", "h:1.2.3.4"), ("--add-host", "h=::1"), ("--ulimit", "nofile=99"), ("--shm-size", "65m"), ("--network", "none"),
               ("--build-arg", "V=2"), ("--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=me"), ("--label", "a=b")]
    same = [("--secret", f"id=s,src={tmp_path}/s"), ("--shm-size", "64m"), ("--shm-size", "67108864"), ("--network", "host"), ("--allow", "network.host")]

    def key(*words):
        return json.loads(machine.ix("plan", "--json", *words, cwd=tmp_path, check=False).out)["stages"][0]["key"]

    seen = {key()}
    for words in changes:
        assert key(*words) not in seen, words
        seen.add(key(*words))
    for words in same:
        assert key(*words) == key(), words
    assert key("--ulimit", "nofile=9:99", "--ulimit", "core=0") == key("--ulimit", "core=0:0", "--ulimit", "nofile=1", "--ulimit", "nofile=9:99")
    machine.ix("build", "--add-host", "h:1.2.3.4", "--ulimit", "nofile=99", cwd=tmp_path)
    assert machine.ix("plan", "--add-host", "h=1.2.3.4", "--ulimit", "nofile=99:99", cwd=tmp_path).status == 0
    assert machine.ix("verify", "a", "--add-host", "h:1.2.3.4", "--ulimit", "nofile=99", cwd=tmp_path).status == 0
    assert "nothing changed" in machine.ix("explain", "a", "--add-host", "h:1.2.3.4", "--ulimit", "nofile=99", cwd=tmp_path).out
    r = machine.ix("lock", "--add-host", "h:1.2.3.4", cwd=tmp_path, check=False)  # it asks a registry, which may have none
    assert "busybox:test" in r.out + r.err, r
    machine.ix("run", "--add-host", "h:1.2.3.4", "--ulimit", "nofile=99", "a", "--", "true", cwd=tmp_path)


def test_network_none_in_a_project_has_its_effect(machine, tmp_path):
    (tmp_path / "ix.yaml").write_text("project: p\nregistry: none\nstages:\n  a: { dockerfile: Dockerfile }\n")
    dockerfile(tmp_path, "FROM busybox:test\nRUN echo has $(sed -n 's/ *\\([a-z0-9]*\\):.*/\\1/p' /proc/net/dev)\n")
    r = machine.ix("build", "--progress", "plain", "--network", "none", cwd=tmp_path)
    assert re.search(r"has lo$", r.err, re.M), r
    assert "1 found" in machine.ix("build", "--network", "none", cwd=tmp_path).err


def test_wrong_outputs_are_refused_before_anything_runs(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN false\n")
    for spec, message in [("type=ocy", "did you mean oci?"), ("dest=x", "type is required"), ("type=oci,compresion=gzip", "did you mean compression?"),
                          ("type=oci,compression=estargz", "estargz is not supported"), ("type=tar,compression=zstd", "files have no layers"),
                          ("type=oci,tar=perhaps", "true or false")]:
        assert message in machine.failure("build", "-o", spec, str(tmp_path)).err


def test_iidfile_and_metadata_file(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch\nLABEL a=b\n")
    machine.build(tmp_path, "-t", "me:1", "--iidfile", tmp_path / "iid", "--metadata-file", tmp_path / "m.json", "--annotation", "who=me")
    meta = json.loads((tmp_path / "m.json").read_text())
    assert (tmp_path / "iid").read_text() == meta["containerimage.config.digest"]
    assert meta["image.name"] == "docker.io/library/me:1" and meta["containerimage.descriptor"]["digest"] == meta["containerimage.digest"]
    assert json.loads(machine.ix("inspect", "me:1").out)["manifest"]["annotations"]["who"] == "me"


def test_push_by_digest(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch\nLABEL a=c\n")
    with registry(tmp_path / "reg") as host:
        machine.build(tmp_path, "-o", f"type=image,name={host}/x/y,push=true,push-by-digest=true", "--metadata-file", tmp_path / "m.json")
        digest = json.loads((tmp_path / "m.json").read_text())["containerimage.digest"]
        machine.ix("pull", f"{host}/x/y@{digest}")


def test_settings_of_steps_reach_them_and_count(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN ulimit -n > /n; df -k /dev/shm | tail -n 1 | awk '{print $2}' > /shm; grep -c there /etc/hosts > /h\n")
    tar = machine.root_tar(tmp_path, "--ulimit", "nofile=123:200", "--shm-size", "2m", "--add-host", "there:10.0.0.1")
    assert [text(tar, f).strip() for f in ("n", "shm", "h")] == ["123", "2048", "1"]
    tar = machine.root_tar(tmp_path, "--ulimit", "nofile=124:200", "--add-host", "there=10.0.0.1")
    assert text(tar, "n") == "124\n"
    assert "unknown resource" in machine.failure("build", "--ulimit", "nofle=1", str(tmp_path)).err


def test_network_none_cuts_steps_off(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN ls /sys/class/net > /net\n")
    assert text(machine.root_tar(tmp_path, "--network", "none"), "net") == "lo\n"


def test_security_insecure_needs_permission(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN --security=insecure grep CapEff /proc/self/status > /c\n")
    assert "--allow security.insecure" in machine.failure("build", str(tmp_path)).err
    caps = int(text(machine.root_tar(tmp_path, "--allow", "security.insecure"), "c").split()[1], 16)
    assert caps & (1 << 21), "CAP_SYS_ADMIN is there"


def test_no_cache_filter_runs_one_stage_again(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test AS a\nRUN echo a; cat /proc/uptime > /a\nFROM busybox:test AS b\nRUN echo b > /b\nFROM busybox:test\n"
               "COPY --from=a /a /\nCOPY --from=b /b /\n")
    machine.build(tmp_path)
    err = machine.build(tmp_path, "--no-cache-filter", "a").err
    assert "image.a 1/1 RUN" in err and "image.b 1/1 RUN" not in err


def test_named_context_for_one_platform(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch\nCOPY --from=x f /\n", **{"any/f": "any", "amd/f": "amd"})
    tar = machine.root_tar(tmp_path, "--build-context", f"x={tmp_path}/any", "--build-context", f"x::linux/amd64={tmp_path}/amd", "--platform", "linux/amd64")
    assert text(tar, "f") == "amd"


# --- checks and calls ---

CHECKED = """From scratch as Base
maintainer me
EXPOSE 80/TCP 127.0.0.1:80:90
ENV a b
ENV API_TOKEN=x X=$undef
WORKDIR app
CMD echo hi
CMD echo ho
FROM --platform=linux/amd64 scratch AS context
ARG VERSIO=1
LABEL v=$VERSION
COPY a \\

 /b
FROM --platform=$TARGETPLATFORM scratch as x
FROM scratch AS x
FROM scratch$NONE
ARG E
FROM scratch
"""

RULES = {"StageNameCasing", "ConsistentInstructionCasing", "MaintainerDeprecated", "ExposeInvalidFormat", "ExposeProtoCasing", "LegacyKeyValueFormat",
         "SecretsUsedInArgOrEnv", "UndefinedVar", "WorkdirRelativePath", "JSONArgsRecommended", "MultipleInstructionsDisallowed",
         "FromPlatformFlagConstDisallowed", "ReservedStageName", "NoEmptyContinuation", "RedundantTargetPlatform", "FromAsCasing", "DuplicateStageName",
         "UndefinedArgInFrom"}


def rules(result):
    return {w["ruleName"] for w in json.loads(result.out)["warnings"]}


def test_check_finds_what_docker_finds(machine, tmp_path):
    dockerfile(tmp_path, CHECKED)
    r = machine.ix("check", "--json", str(tmp_path), check=False)
    assert r.status == 1 and rules(r) == RULES
    r = machine.ix("build", "--check", str(tmp_path), check=False)
    assert r.status == 1 and ">>> From scratch as Base" in r.out and "warnings have been found!" in r.out


def test_check_ends_where_the_file_is_refused(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch AS A\nCMD a\nEXPOSE x\nCMD b\nFROM scratch AS b\nENV a b\nMAINTAINER me\n")
    assert rules(machine.ix("check", "--json", str(tmp_path), check=False)) == {"StageNameCasing", "JSONArgsRecommended", "MaintainerDeprecated"}
    dockerfile(tmp_path, "FROM scratch AS A\nCMD a\nFROM $NONE\nFROM $NONE\n")
    assert rules(machine.ix("check", "--json", str(tmp_path), check=False)) == {"StageNameCasing", "UndefinedArgInFrom", "InvalidDefaultArgInFrom"}


def test_check_of_a_clean_file(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test AS a\nWORKDIR /x\nENV P=$PATH\nCMD [\"x\"]\n")
    r = machine.ix("check", str(tmp_path))
    assert r.out == "Check complete, no warnings found.\n"


def test_check_directives_and_skips(machine, tmp_path):
    dockerfile(tmp_path, "# check=skip=StageNameCasing;experimental=all\nARG D\nFROM scratch AS Base\n# check=skip=JSONArgsRecommended\nCMD a\nCOPY x /\n"
               "# nothing\nARG V\n", **{".dockerignore": "x"})
    assert rules(machine.ix("check", "--json", str(tmp_path), check=False)) == {"CopyIgnoredFile", "InvalidDefinitionDescription"}
    dockerfile(tmp_path, "# check=error=true\nFROM scratch\nMAINTAINER me\n")
    assert "lint violation found for rules: MaintainerDeprecated" in machine.failure("build", str(tmp_path)).err
    machine.build(tmp_path, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all")
    dockerfile(tmp_path, "# check=wrong=1\nFROM scratch\n")
    assert 'Dockerfile:1:1: invalid check option "wrong"' in machine.failure("build", str(tmp_path)).err


def test_default_argument_that_gives_no_image(machine, tmp_path):
    dockerfile(tmp_path, "ARG TAG\nFROM busybox:${TAG}\n")
    assert rules(machine.ix("check", "--json", "--build-arg", "TAG=test", str(tmp_path), check=False)) == {"InvalidDefaultArgInFrom"}


def test_outline_and_targets(machine, tmp_path):
    dockerfile(tmp_path, "# V the version\nARG V=1\n# base it starts here\nFROM scratch AS base\nARG V\n# X a thing\nARG X=$V\n"
               "RUN --mount=type=secret,id=s1,required=true --mount=type=ssh true\nFROM scratch AS unused\nARG U\nFROM base AS out\n")
    got = json.loads(machine.ix("build", "--call", "outline,format=json", "--build-arg", "X=3", str(tmp_path)).out)
    assert got["name"] == "out" and [(a["name"], a["value"], a["description"]) for a in got["args"]] == [("V", "1", "the version"), ("X", "3", "a thing")]
    assert got["secrets"][0]["name"] == "s1" and got["secrets"][0]["required"] and got["ssh"][0]["name"] == "default"
    got = json.loads(machine.ix("build", "--call", "targets,format=json", str(tmp_path)).out)["targets"]
    assert [(t["name"], t["base"], t.get("default", False)) for t in got] == [("base", "scratch", False), ("unused", "scratch", False), ("out", "base", True)]
    assert "it starts here" in machine.ix("build", "--call", "targets", str(tmp_path)).out


def test_control_arguments(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN --mount=type=cache,target=/c,id=ns hostname > /h; ls /c > /l; touch /c/seen\n")
    tar = machine.root_tar(tmp_path, "--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=here", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=one")
    assert text(tar, "h") == "here\n" and text(tar, "l") == ""
    assert text(machine.root_tar(tmp_path, "--no-cache", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=one"), "l") == "seen\n"
    assert text(machine.root_tar(tmp_path, "--no-cache", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=two"), "l") == ""
    assert "BUILDKIT_INLINE_CACHE has no meaning here, ignoring" in machine.build(tmp_path, "--build-arg", "BUILDKIT_INLINE_CACHE=1").err


def test_base_image_for_another_platform_is_told(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nLABEL a=1\n")
    assert "InvalidBaseImagePlatform: Base image busybox:test" in machine.build(tmp_path, "--platform", "linux/arm64").err
    assert "several platforms in one image are not supported" in machine.failure("build", "--platform", "linux/amd64,linux/arm64", str(tmp_path)).err


def test_options_of_docker_that_ask_for_nothing_are_accepted(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch\nLABEL a=b\n")
    machine.ix("build", "-q", "--provenance=false", "--sbom=false", "--rm", "--force-rm=true", "--builder", "default", "--debug", "--compress", "--isolation", "default",
               "--attest=type=provenance,disabled=true", tmp_path)
    assert "last stage" in machine.failure("build", "--squash", tmp_path).err
    assert "NAME=VALUE" in machine.failure("build", "--label", "=x", tmp_path).err
    for words, said in ((("--provenance=mode=max",), "attestations"), (("--sbom=true",), "attestations"), (("--attest", "type=sbom"), "attestations"),
                        (("--cache-from", "type=registry,ref=x"), "--cache-from: leave it out"), (("--cache-to", "type=inline"), "--cache-to: leave it out"),
                        (("--builder", "mine"), "there is one builder")):
        assert said in machine.failure("build", "-q", *words, tmp_path).err


def test_a_directory_is_a_path_where_no_project_is(machine, tmp_path):
    (tmp_path / "sub").mkdir()
    dockerfile(tmp_path / "sub", "FROM scratch\nLABEL a=b\n")
    machine.ix("build", "-q", "sub", cwd=tmp_path)
    (tmp_path / "ix.yaml").write_text("project: p\nregistry: none\nstages:\n  other: { context: sub }\n")
    assert "sub" in machine.failure("build", "-q", "sub", cwd=tmp_path).err


def test_what_is_not_there_is_no_secret(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch\nLABEL a=b\n")
    assert "/nosuch/file" in machine.failure("build", "-q", "--secret", "id=s,src=/nosuch/file", tmp_path).err
    assert "NOSUCH_VARIABLE is not set" in machine.failure("build", "-q", "--secret", "id=s,env=NOSUCH_VARIABLE", tmp_path).err
    assert "write NAME=VALUE" in machine.failure("build", "-q", "--build-arg", "=x", tmp_path).err


@pytest.mark.parametrize("text,said", [
    ("project: p\nregistry: none\nstages: { a: { dockerfile: D } }\n---\nproject: q\n", "ix.yaml:4:1: a second document"),
    ("project: !secret p\nregistry: none\nstages: { a: { dockerfile: D } }\n", "the tag !secret means nothing here"),
    ("project: p\nregistry: none\nstages: { a: { args: { X: !env Y } } }\n", "the tag !env means nothing here"),
])
def test_yaml_that_would_be_read_otherwise_is_refused(machine, tmp_path, text, said):
    (tmp_path / "ix.yaml").write_text(text)
    (tmp_path / "D").write_text("FROM scratch\n")
    assert said in machine.failure("plan", cwd=tmp_path).err


def test_nothing_of_a_strange_file_is_quoted(machine, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "shadow").write_text("root:$6$hash:1::::\n")
    (tmp_path / "p" / "ix.yaml").write_text("project: p\nregistry: none\nstages: { a: { dockerfile: ../shadow } }\n")
    said = machine.failure("plan", cwd=tmp_path / "p").err
    assert "is no Dockerfile" in said and "hash" not in said.lower()


def test_certificates_of_the_host_are_left_out_when_asked(machine, tmp_path):
    dockerfile(tmp_path, "FROM busybox:test\nRUN env | grep -c ca-certificates.crt > /n; true\n")
    assert text(machine.root_tar(tmp_path, "--no-cache", "--tls", "image"), "n") == "0\n"
    assert text(machine.root_tar(tmp_path, "--no-cache", "--tls", "host"), "n") != "0\n"
    assert "host or image" in machine.failure("build", "--tls", "x", tmp_path).err


SHARED = "stages:\n  a: {dockerfile: D, target: one}\n  b: {dockerfile: D, target: two}\n"
WARNING = "WorkdirRelativePath: Relative workdir \"x\" can have unexpected results if the base image changes"


def test_a_shared_file_is_warned_of_once(machine, tmp_path):
    (tmp_path / "ix.yaml").write_text(SHARED)
    (tmp_path / "D").write_text("FROM scratch AS one\nWORKDIR x\nFROM one AS two\nCOPY D /\n")
    r = machine.ix("build", cwd=tmp_path)
    assert (r.out + r.err).count(WARNING) == 1 and f"{WARNING} (stages a, b)" in r.out + r.err
    r = machine.ix("check", cwd=tmp_path, check=False)
    assert "1 warning has been found" in r.out and "changes (stages a, b)" in r.out
    warnings = json.loads(machine.ix("check", "--json", cwd=tmp_path, check=False).out)["warnings"]
    assert [w["stages"] for w in warnings] == [["a", "b"]]
    # What b does not need is a's alone.
    (tmp_path / "D").write_text("FROM scratch AS one\nWORKDIR x\nFROM scratch AS two\nCOPY D /\n")
    warnings = json.loads(machine.ix("check", "--json", cwd=tmp_path, check=False).out)["warnings"]
    assert len(warnings) == 1 and "b" not in warnings[0].get("stages", [])


def test_the_same_mistake_twice_in_a_line_is_two(machine, tmp_path):
    dockerfile(tmp_path, "FROM scratch\nLABEL a=$NONE b=$NONE\n")
    assert len(json.loads(machine.ix("check", "--json", str(tmp_path), check=False).out)["warnings"]) == 2
