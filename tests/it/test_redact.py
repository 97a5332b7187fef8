"""Nothing that is shown, kept or published says a secret, and logs travel with what was built."""

import base64
import pathlib
import subprocess
import urllib.parse

import pytest

from ixlib import write
from test_project import base_tar, team  # noqa: F401: fixtures

SECRET = "s3cr3t/Pass+word"


def everything_below(*roots):
    """All bytes of all files, plain, and what is compressed with zstd or gzip decompressed."""
    for root in roots:
        for path in sorted(pathlib.Path(root).rglob("*")):
            if not path.is_file() or path.is_symlink():
                continue
            data = path.read_bytes()
            yield path, data
            if data[:4] == b"\x28\xb5\x2f\xfd":
                yield path, subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
            elif data[:2] == b"\x1f\x8b":
                yield path, subprocess.run(["gzip", "-dcq", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


FORMS = [SECRET, base64.b64encode(SECRET.encode()).decode().rstrip("="), urllib.parse.quote(SECRET, safe="")]

LEAK = ("RUN --mount=type=secret,id=a set -x; cat /run/secrets/a; echo; base64 /run/secrets/a; echo \"x$(cat /run/secrets/a)\" | base64; "
        "for c in $(cat /run/secrets/a | sed 's/./& /g'); do printf %s $c; sleep 0.01; done; echo; "
        "sed 's,/,%2F,;s,+,%2B,' /run/secrets/a; exit $CODE\n")


@pytest.mark.parametrize("progress", ["plain", "json", "tty"])
def test_what_a_step_prints_of_a_secret(team, tmp_path, progress):
    (tmp_path / "secret").write_text(SECRET + "\n")
    write(team.project, **{"base.df": f"FROM base:1\nENV CODE=0\n{LEAK}RUN echo done {progress}\n"})
    machine = team.machine()
    r = machine.ix("build", "--progress", progress, "--secret", f"id=a,src={tmp_path}/secret", "base", cwd=team.project)
    for form in FORMS:
        assert form not in r.out + r.err
    if progress == "plain":
        assert "| ***" in r.err
    for path, data in everything_below(machine.store, team.root / "registry"):
        for form in FORMS:
            assert form.encode() not in data, path
    log = machine.ix("logs", "base", cwd=team.project, check=False).out
    assert "***" in log and SECRET not in log


def test_a_failing_step_says_it_neither(team, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    write(team.project, **{"base.df": f"FROM base:1\nENV CODE=3\n{LEAK}"})
    r = team.machine().failure("build", "--progress", "tty", "--secret", f"id=a,src={tmp_path}/secret", "base", cwd=team.project)
    assert SECRET not in r.out + r.err and "***" in r.err and "exit code: 3" in r.err


def test_arguments_that_are_called_like_secrets(team):
    write(team.project, **{"base.df": "FROM base:1\nARG API_TOKEN\nARG OTHER\nRUN echo $API_TOKEN; echo $OTHER\n"})
    machine = team.machine()
    r = machine.ix("build", "--progress", "plain", "--build-arg", f"API_TOKEN={SECRET}", "--build-arg", "OTHER=plain-value", "base", cwd=team.project)
    assert SECRET not in r.err and "base | ***" in r.err and "base | plain-value" in r.err
    # The image's config holds what docker's would; the record, which others read to explain, only whether it is another one.
    record = machine.ix("explain", "--json", "base", "--build-arg", "API_TOKEN=another-one", "--build-arg", "OTHER=plain-value", cwd=team.project).out
    assert SECRET not in record and "another-one" not in record and "API_TOKEN" in record


def test_passwords_of_registries(team, tmp_path):
    text = (team.project / "ix.yaml").read_text()
    write(team.project, **{"ix.yaml": text + f"registries: {{ '{team.host}': {{ username: {{ env: U }}, password: {{ env: P }} }} }}\n",
                           "base.df": f"FROM base:1\nRUN echo it is {SECRET}\n"})
    r = team.machine(U="me", P=SECRET).ix("build", "--progress", "plain", "base", cwd=team.project)
    assert SECRET not in r.err and "base | it is ***" in r.err


def test_logs_travel_with_what_was_built(team):
    write(team.project, **{"base.df": "FROM base:1\nRUN echo one > /one; echo said one\nRUN echo said two\n"})
    team.built(team.machine(), "base")
    other = team.machine()
    assert "said one" in other.ix("logs", "base", cwd=team.project).out
    two = other.ix("logs", "base", "2", cwd=team.project).out
    assert "said two" in two and "said one" not in two
    assert "no step 9" in other.failure("logs", "base", "9", cwd=team.project).err
    assert "not a step's number" in other.failure("logs", "base", "x", cwd=team.project).err


@pytest.mark.parametrize("where", ["none", "local"])
def test_logs_that_are_not_published(team, where):
    write(team.project, **{"ix.yaml": (team.project / "ix.yaml").read_text() + f"logs: {where}\n",
                           "base.df": f"FROM base:1\nRUN echo said-and-{where}-$((6 * 7))\n"})
    machine = team.machine()
    team.built(machine, "base")
    said = f"said-and-{where}-42".encode()
    for path, data in everything_below(team.root / "registry"):
        assert said not in data, path
    here = machine.ix("logs", "base", cwd=team.project, check=False)
    elsewhere = team.machine().ix("logs", "base", cwd=team.project, check=False)
    assert (said.decode() in here.out) == (where == "local")
    assert elsewhere.status == 1 and "has no log" in elsewhere.err


def test_a_word_that_logs_does_not_know(team):
    write(team.project, **{"ix.yaml": (team.project / "ix.yaml").read_text() + "logs: somewhere\n"})
    assert "logs: 'somewhere' has to be published, local or none" in team.machine().failure("plan", cwd=team.project).err
