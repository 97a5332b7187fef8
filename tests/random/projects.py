#!/usr/bin/env python3
"""Random projects, built in many ways that must not matter: the images have to be equal, layer by layer and word by word of their configs.

Each project is built with one stage at a time and pushed; in another store with eight at a time, under another umask and without a registry; from the
registry on an empty machine; anew without the cache; and as an ordinary user. With IX_CHECK_LAYERS every unpacked layer is compared
with its blob on the way.

usage: projects.py [--ix PROGRAM] [--count N] [--seed S] [--jobs N] [--keep]
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "it")]

import ixlib  # noqa: E402
from model import Project, smaller  # noqa: E402

USER = "ixtest"


class Difference(Exception):
    pass


class Refused(Exception):
    """ix refused the project, as it should: both ways in the same words."""


class Way:
    """One way to build: a store, a user, options."""

    def __init__(self, world, name, registry="none", umask=0o022, words=(), user=False, env=None):
        self.world, self.name, self.registry, self.umask, self.words, self.user = world, name, registry, umask, words, user
        self.store = world.place / name / "store"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(world.place / name), "LC_ALL": "C.UTF-8", "IX_CHECK_LAYERS": "1", **(env or {})}
        for keep in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            if keep in os.environ:
                self.env[keep] = os.environ[keep]
        (world.place / name).mkdir(exist_ok=True)
        (world.place / name / "config.yaml").write_text(f"mirrors: {{ docker.io: ['{world.host}'] }}\n")
        if user:
            shutil.chown(world.place / name, USER, USER)

    def ix(self, *words, check=True):
        command = [self.world.program, words[0], "--store", str(self.store), "--config", str(self.store.parent / "config.yaml"), *words[1:]]
        if self.user:
            command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--", *command]
        r = subprocess.run(command, cwd=self.world.place / "project", env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=300, umask=self.umask)
        out, err = r.stdout.decode("utf-8", "replace"), r.stderr.decode("utf-8", "replace")
        if r.returncode < 0 or r.returncode in (101, 134, 139) or "Sanitizer" in err or "runtime error" in err:
            raise Difference(f"{self.name}: ix {' '.join(words)} ended with {r.returncode}\n{err}")
        if check and r.returncode:
            raise Refused(next((line for line in err.splitlines() if line.startswith("ix: ")), err))
        return out, err

    def build(self, project, *words):
        names = project.write(self.world.place / "project", self.registry)
        for path in [self.world.place / "project", *(self.world.place / "project").rglob("*")]:
            shutil.chown(path, USER, USER) if self.world.user and not path.is_symlink() else None
        _, err = self.ix("build", "--progress", "plain", *self.words, *words, *names)
        plan = json.loads(self.ix("plan", "--json", *names, check=False)[0])
        reference = {stage["stage"]: stage["reference"] for stage in plan["stages"]}
        return {name: self.image(reference[name]) for name in names}, err

    def image(self, reference):
        """What an image is but for times and history, which tells how the first of its key was spelled."""
        found = json.loads(self.ix("inspect", reference)[0])
        config = {k: v for k, v in found["config"].items() if k not in ("created", "rootfs", "history")}
        layers = [layer.get("annotations", {}).get("dev.ix.content", layer["digest"]) for layer in found["manifest"]["layers"]]
        return {"config": config, "layers": layers}


REFUSED = []  # seeds


class World:
    """A directory with a registry that has the base image, for one project at a time."""

    def __init__(self, program, host, number, place, user):
        self.program, self.host, self.number, self.place, self.user = program, host, number, place, user
        place.mkdir(mode=0o755)

    def clean(self, user):
        subprocess.run(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--", self.program, "rm", "--everything", "--store",
                        str(self.place / "user/store")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) if user else None
        for path in self.place.iterdir():
            subprocess.run(["rm", "-rf", str(path)], check=False)


def same(what, one, other):
    for name in one:
        if one[name] != other[name]:
            where = [k for k in one[name] if one[name][k] != other[name][k]]
            raise Difference(f"{what}: stage {name} differs in {', '.join(where)}:\n{json.dumps(one[name], indent=1)}\n{json.dumps(other[name], indent=1)}")


def check(world, project, user):
    first = Way(world, "first", f"{world.host}/r{world.number}x{project.seed}", words=("-j", "1"))
    images, _ = first.build(project)
    again, err = first.build(project)
    if not re.search(r"^0 built", err, re.M):
        raise Difference(f"built again: something was built\n{err}")
    same("built again", images, again)
    same("another store, eight at a time, another umask", images, Way(world, "other", umask=0o077, words=("-j", "8")).build(project)[0])
    found, err = Way(world, "empty", first.registry).build(project)
    if not re.search(r"^0 built", err, re.M):
        raise Difference(f"an empty machine: something was built\n{err}")
    same("an empty machine", images, found)
    same("without the cache", images, Way(world, "other", words=("--force-all",), umask=0o002).build(project)[0])
    if user:
        same("an ordinary user", images, Way(world, "user", user=True).build(project)[0])


def attempt(world, project, user):
    """What is wrong with the project, or None."""
    try:
        check(world, project, user)
    except Difference as e:
        return str(e)
    except Refused as e:
        try:
            # One at a time: of two stages that are refused the first is told.
            Way(world, "other", umask=0o077, words=("-j", "1")).build(project)
            return f"refused one way: {e}"
        except Refused as again:
            if str(again) != str(e):
                return f"refused in other words: {e} / {again}"
        REFUSED.append(project.seed)
    except subprocess.TimeoutExpired as e:
        return f"it hangs: {e}"
    finally:
        world.clean(user)
    return None


def shrink(world, project, user, wrong):
    kind = wrong.split(":")[0]
    tries, again = 60, True
    while again and tries > 0:
        again = False
        for less in smaller(project):
            tries -= 1
            now = attempt(world, less, user)
            if now and now.split(":")[0] == kind:
                project, wrong, again = less, now, True
                break
            if tries <= 0:
                break
    return project, wrong


def show(project, wrong):
    out = [f"FAILED: seed {project.seed}", wrong.rstrip()]
    for i, stage in enumerate(project.stages):
        text, links = project.dockerfile(i)
        out.append(f"--- {stage['name']}.df args {stage['args']} labels {stage['labels']} links {links}\n{text}")
    out.append("--- files " + ", ".join(f"{n} {m if m is None else oct(m)} {t!r}" for n, (m, t) in project.files.items()))
    return "\n".join(out)


def options_of(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ix", default=ixlib.IX)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    return parser


def run(options, user, one):
    """one(world, seed) for each seed, several at a time beside a registry that has the base image. What it returns is printed as a failure; how many."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="ix-random-", dir="/var/tmp") as place:
        os.chmod(place, 0o755)
        place = pathlib.Path(place)
        program = shutil.copy(options.ix, place / "ix")
        with ixlib.registry(place / "registry") as host:
            maker = ixlib.Machine(place / "maker")
            tar = ixlib.make_base(maker, place)
            maker.ix("import", tar, "base:1")
            maker.ix("push", "base:1", f"{host}/library/base:1")

            def lane(number):
                world = World(str(program), host, number, place / f"w{number}", user)
                found = [one(world, seed) for seed in range(options.seed + number, options.seed + options.count, options.jobs)]
                return [text for text in found if text]

            with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
                for wrong in pool.map(lane, range(options.jobs)):
                    failed += len(wrong)
                    for text in wrong:
                        print(text, flush=True)
    return failed


def main():
    options = options_of(__doc__).parse_args()
    user = os.geteuid() == 0 and bool(shutil.which("newuidmap")) and bool(shutil.which("useradd"))
    if user and not any(p.pw_name == USER for p in pwd.getpwall()):
        subprocess.run(["useradd", "-m", USER], check=True)

    def one(world, seed):
        project = Project(seed)
        found = attempt(world, project, user)
        return show(*shrink(world, project, user, found)) if found else None

    failed = run(options, user, one)
    print(f"random projects: seeds {options.seed} to {options.seed + options.count - 1}{'' if user else ', no ordinary user'}; "
          f"{len(set(REFUSED))} were refused, in the same words each way")
    print(f"{options.count - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
