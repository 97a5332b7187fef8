"""Whose images are used: poisoned tags, signatures, keys."""

import json
import re
import stat

from ixlib import manifest, manifest_digest, put_manifest, write
from test_identity import digest_of
from test_project import base_tar, team, to_build  # noqa: F401: fixtures


def tag_of(team, machine, stage):
    return digest_of(team, machine, stage).split(":")[-1]


def signed(team, machine, keys=("ci",)):
    for name in keys:
        machine.ix_plain("key", "generate", str(team.root / name))
    yaml = (team.project / "ix.yaml").read_text()
    trusted = ", ".join(f"'{team.root}/{name}.pub'" for name in keys)
    write(team.project, **{"ix.yaml": yaml + f"trust: signed\ntrusted_keys: [ {trusted} ]\nsigning_key: {{ env: SIGN }}\n"})
    return (team.root / keys[0]).read_text()


def test_a_poisoned_tag_is_not_built_upon(team):
    one = team.machine()
    team.built(one)
    # right's tag is another stage's image now.
    put_manifest(team.host, "p", tag_of(team, one, "right"), manifest(team.host, "p", tag_of(team, one, "left")))
    write(team.project, **{"top.df": (team.project / "top.df").read_text() + "RUN echo more\n"})
    two = team.machine()
    _, plan = team.plan(two)
    assert to_build(plan) == ["right", "top"]
    assert plan["right"]["reason"] == "not used from the registry: its record is of another image"
    built, r = team.built(two)
    # What right really is, its second key still knows.
    assert built == ["top"] and "right: same in" in r.err, r
    assert two.ix("run", "top", "--", "cat", "/merged", cwd=team.project).out == "a\nb\n"
    # The tag is right again.
    assert team.plan(team.machine())[0] == 0


def test_key_generate_writes_two_files_and_replaces_none(team):
    one = team.machine()
    r = one.ix_plain("key", "generate", str(team.root / "k"))
    assert r.out.startswith("ix-ed25519-public:") and r.out == (team.root / "k.pub").read_text()
    assert stat.S_IMODE((team.root / "k").stat().st_mode) == 0o600
    private = (team.root / "k").read_text()
    assert re.fullmatch(r"ix-ed25519-private:[0-9a-f]{64}\n", private) and private[19:] not in r.out
    r = one.ix_plain("key", "generate", str(team.root / "k"), check=False)
    assert r.status != 0 and "File exists" in r.err and (team.root / "k").read_text() == private


def test_signed_stages_are_used_and_unsigned_ones_are_built_again(team):
    key = signed(team, team.machine())
    built, r = team.built(team.machine())
    assert "SIGN is not set: what is built is published without a signature" in r.err
    with_key = team.machine(SIGN=key)
    _, plan = team.plan(with_key)
    assert plan["base"]["reason"] == "not used from the registry: it is not signed"
    built, _ = team.built(with_key)
    assert built == ["base", "left", "right", "top"]
    # Whoever has only the public key uses what is signed now.
    without = team.machine()
    status, plan = team.plan(without)
    assert status == 0, plan


def test_a_signature_of_another_key_or_of_another_image_does_not_do(team):
    key = signed(team, team.machine())
    one = team.machine(SIGN=key)
    team.built(one)
    tag = tag_of(team, one, "right")
    # Another image under the tag, with its own signed record beside it or the old one.
    other = manifest(team.host, "p", tag_of(team, one, "left"))
    put_manifest(team.host, "p", tag, other)
    _, plan = team.plan(team.machine(), "right")
    assert plan["right"]["reason"] == "not used from the registry: its record is of another image"
    put_manifest(team.host, "p", tag + ".ix", manifest(team.host, "p", tag_of(team, one, "left") + ".ix"))
    _, plan = team.plan(team.machine(), "right")
    assert plan["right"]["reason"] == "not used from the registry: its record is of another stage or key"
    record = manifest(team.host, "p", "right.main.ix")
    record["subject"]["digest"] = manifest_digest(team.host, "p", tag)
    put_manifest(team.host, "p", tag + ".ix", record)
    _, plan = team.plan(team.machine(), "right")
    assert plan["right"]["reason"] == "not used from the registry: its signature is not by a trusted key"
    team.machine().ix_plain("key", "generate", str(team.root / "evil"))
    evil = team.machine(SIGN=(team.root / "evil").read_text())
    write(team.project, **{"right/src/a": "other\n"})
    team.built(evil)
    _, plan = team.plan(team.machine())
    assert to_build(plan) == ["right", "top"] and "trusted key" in plan["right"]["reason"]


def test_cutoff_works_with_signatures(team):
    key = signed(team, team.machine())
    team.built(team.machine(SIGN=key))
    write(team.project, **{"base.df": "FROM base:1\nRUN echo  base > /base\n"})
    built, r = team.built(team.machine(SIGN=key))
    assert built == ["base"], r
    assert team.plan(team.machine())[0] == 0


def test_signed_needs_keys(team):
    yaml = (team.project / "ix.yaml").read_text()
    write(team.project, **{"ix.yaml": yaml + "trust: signed\n"})
    assert "trust: signed needs trusted_keys:" in team.machine().failure("plan", cwd=team.project).err
    write(team.project, **{"ix.yaml": yaml + "trust: signed\ntrusted_keys: [ none.pub ]\n"})
    assert "none.pub" in team.machine().failure("plan", cwd=team.project).err
    write(team.project, **{"ix.yaml": yaml + "trust: maybe\n"})
    assert "trust: 'maybe' has to be any or signed" in team.machine().failure("plan", cwd=team.project).err
