"""Small random projects: stages, inner stages, copies, steps, mounts, links. Everything in them comes out the same whenever it is built."""

import copy
import os
import pathlib
import random

WORDS = "a b c one two x.txt data".split()
SHELL = [
    "mkdir -p /{p} && echo {n} > /{p}/f{n}",
    "echo {n} >> /all.txt",
    "x=$(ls / | sort); echo \"$x\" > /list{n}",
    "cp -r /etc /copy{n}; rm -rf /copy{n}/passwd",
    "ln -s /etc/passwd /link{n}; chmod 700 /tmp",
    "echo {n} > /hard{n}; ln /hard{n} /also{n}",
    "rm -rf /usr/share/data; mkdir -p /usr/share/data",
    "chmod 4755 /bin/busybox; chmod 755 /bin/busybox",
    "chown {n}:{n} /etc/group",
    "env | sort | grep -v -i -e ^S[0-9]= -e _proxy= -e CA_ -e CERT -e CAFILE -e CAINFO > /env{n}",
    "pwd > /pwd{n}; id -u >> /pwd{n}",
    "true",
    "mv /etc/group /etc/g; mv /etc/g /etc/group",
    "cat /all.txt > /seen{n} 2>/dev/null; true",
    "umask > /umask{n}; ulimit -c >> /umask{n}",
]


def path(rng):
    return "/".join(rng.choice(WORDS) for _ in range(rng.randint(1, 3)))


class Project:
    """Plain data, so that it can be copied, changed and made smaller."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.seed = seed
        self.files = {}  # path -> (mode, text); a link: (None, target); a directory: (mode, None)
        self.cutoff = rng.random() < 0.9
        self.stages = []
        for _ in range(rng.randint(2, 10)):
            self.add_file(rng)
        for i in range(rng.randint(1, 5)):
            self.stages.append(self.make_stage(rng, i))

    def add_file(self, rng):
        name = "ctx/" + path(rng)
        if any(other == name or other.startswith(name + "/") or name.startswith(other + "/") for other in self.files):
            return None
        kind = rng.random()
        self.files[name] = ((None, rng.choice(["/etc/passwd", "x.txt", "../b"])) if kind < 0.1 else (rng.choice([0o755, 0o700]), None) if kind < 0.2 else
                            (rng.choice([0o644, 0o644, 0o755, 0o600, 0o664]), f"{rng.randint(0, 9)}\n"))
        return name

    def make_stage(self, rng, i):
        stage = {"name": f"s{i}", "base": self.base(rng, i), "inner": [], "args": {}, "labels": {}, "steps": []}
        if rng.random() < 0.4:
            for j in range(rng.randint(1, 2)):
                inner = {"name": f"in{j}", "base": self.base(rng, i), "steps": []}
                inner["steps"] = [self.step(rng, i, None, inner["base"]) for _ in range(rng.randint(0, 3))]
                stage["inner"].append(inner)
            if rng.random() < 0.4:
                stage["base"] = ("inner", rng.randrange(len(stage["inner"])))
        if rng.random() < 0.3:
            stage["labels"] = {rng.choice("xyz"): str(rng.randint(0, 3))}
        if rng.random() < 0.5:
            stage["args"] = {rng.choice(["V", "W"]): str(rng.randint(0, 3))}
        stage["steps"] = [self.step(rng, i, stage, stage["base"]) for _ in range(rng.randint(0, 6))]
        return stage

    def base(self, rng, i):
        kind = rng.random()
        return ("scratch",) if kind < 0.1 else ("stage", rng.randrange(i)) if i and kind < 0.7 else ("image",)

    def step(self, rng, i, stage, base):
        """One instruction as a tuple; what it names has to exist before it."""
        kind, n = rng.random(), rng.randint(0, 9)
        runs = base[0] != "scratch" and not (base[0] == "inner" and stage["inner"][base[1]]["base"][0] == "scratch") and \
            not (base[0] == "stage" and self.on_scratch(base[1]))
        if kind < 0.30:
            return ("copy", rng.choice(["ctx/", "ctx", "ctx/.", "."]) if rng.random() < 0.7 or not self.files else rng.choice(sorted(self.files)),
                    rng.choice(["/d/", "/", "/d/e/", "d/", f"/f{n}/"]), rng.choice(["", "", "--chown=1:2 ", "--chmod=0640 ", "--link "]))
        if kind < 0.38 and i:
            return ("from", ("stage", rng.randrange(i)), rng.choice(["/", "/", "/et[c]", "/*"]), f"/from{n}/")
        if kind < 0.44 and stage and stage["inner"]:
            return ("from", ("inner", rng.randrange(len(stage["inner"]))), "/", f"/inner{n}/")
        if kind < 0.48:
            return ("heredoc", f"/doc{n}", f"it's {n} $V $E\n")
        if kind < 0.54:
            return ("env", rng.choice("EFG"), rng.choice(["1", "2", "x$E", "${V:-v}"]))
        if kind < 0.56:
            return ("arg", rng.choice("EFV"), str(n))
        if kind < 0.59:
            return ("workdir", rng.choice(["/w", "sub", "/", "/w/x"]))
        if kind < 0.64:
            return ("config", rng.choice([f"LABEL l={n}", f"EXPOSE {80 + n}", f'CMD ["{n}"]', f"VOLUME /v{n}", "STOPSIGNAL SIGINT"]))
        if not runs:
            return ("copy", "ctx", "/c/", "")
        if kind < 0.68:
            return ("user", rng.choice(["app", "root"]))
        if kind < 0.76:
            return ("run", rng.choice(["--mount=type=bind,source=ctx,target=/m ", "--mount=type=cache,target=/m ", "--mount=type=tmpfs,target=/new/m "]),
                    "ls /m > /tmp/ls; rm -f /tmp/ls; echo m > /tmp/m")
        return ("run", "", rng.choice(SHELL).format(p=path(rng), n=n))

    def on_scratch(self, i):
        base = self.stages[i]["base"]
        if base[0] == "inner":
            base = self.stages[i]["inner"][base[1]]["base"]
        return base[0] == "scratch" or (base[0] == "stage" and self.on_scratch(base[1]))

    # --- as files ---

    def dockerfile(self, i):
        stage = self.stages[i]
        out, links = [], {}

        def name_of(ref):
            if ref[0] == "stage":
                links[f"S{ref[1]}"] = ref[1]
                return f"$S{ref[1]}"
            return stage["inner"][ref[1]]["name"] if ref[0] == "inner" else {"image": "base:1", "scratch": "scratch"}[ref[0]]

        def lines(block, as_name=""):
            user = None
            yield f"FROM {name_of(block['base'])}{as_name}"
            yield "ARG V"
            for step in block["steps"]:
                if step[0] == "copy":
                    yield f"COPY {step[3]}{step[1]} {step[2]}"
                elif step[0] == "from":
                    source = name_of(step[1])
                    yield f"COPY --from={source} {step[2]} {step[3]}"
                elif step[0] == "heredoc":
                    yield f"COPY <<EOF {step[1]}\n{step[2]}EOF"
                elif step[0] == "env":
                    yield f"ENV {step[1]}={step[2]}"
                elif step[0] == "arg":
                    yield f"ARG {step[1]}={step[2]}"
                elif step[0] == "workdir":
                    yield f"WORKDIR {step[1]}"
                elif step[0] == "user":
                    user = step[1]
                    yield f"USER {user}"
                elif step[0] == "run":
                    # What is written needs root; the rest shows that the user counts.
                    yield (f"RUN {step[1]}{step[2]}" if user in (None, "root") else f"RUN {step[1]}id > /tmp/id{len(step[2])}")
                else:
                    yield step[1]

        for block in stage["inner"]:
            out += lines(block, f" AS {block['name']}")
        out += lines(stage)
        head = [f"ARG {name}" for name in links]
        text = "\n".join(head + out) + "\n"
        # An argument before the first FROM is not seen by COPY --from: it is named again there.
        for name in links:
            text = text.replace(f"COPY --from=${name} ", f"ARG {name}\nCOPY --from=${name} ")
        return text, links

    def write(self, root, registry):
        root = pathlib.Path(root)
        yaml = f"project: r\nregistry: {registry}\n" + ("" if self.cutoff else "cutoff: false\n") + "stages:\n"
        for i, stage in enumerate(self.stages):
            text, links = self.dockerfile(i)
            root.mkdir(parents=True, exist_ok=True)
            (root / f"{stage['name']}.df").write_text(text)
            args = {**{k: f"stage:s{v}" for k, v in links.items()}, **stage["args"]}
            yaml += f"  {stage['name']}: {{ dockerfile: {stage['name']}.df, context: ., args: {{ {', '.join(f'{k}: {v!r}' for k, v in args.items())} }}"
            yaml += f", labels: {{ {', '.join(f'{k}: {v!r}' for k, v in stage['labels'].items())} }} }}\n"
        (root / "ix.yaml").write_text(yaml)
        (root / ".dockerignore").write_text("*.df\nix.yaml\n.dockerignore\n")
        for directory in [root, root / "ctx"]:
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)
        for name, (mode, text) in self.files.items():
            target = root / name
            for parent in reversed(target.relative_to(root).parents[:-1]):
                (root / parent).mkdir(exist_ok=True)
                (root / parent).chmod(0o755)
            if mode is None:
                target.unlink(missing_ok=True)
                target.symlink_to(text)
            elif text is None:
                target.mkdir(exist_ok=True)
                target.chmod(mode)
            else:
                target.write_text(text)
                target.chmod(mode)
        for name in ["ix.yaml", ".dockerignore", *(f"{s['name']}.df" for s in self.stages)]:
            os.chmod(root / name, 0o644)
        return [s["name"] for s in self.stages]


def smaller(project):
    """Projects with one thing less, the biggest cuts first."""
    for i in reversed(range(len(project.stages))):
        used = any(ref == ("stage", i) for s in project.stages for b in [s, *s["inner"]] for ref in [b["base"], *(x[1] for x in b["steps"] if x[0] == "from")])
        if not used and len(project.stages) > 1 and i == len(project.stages) - 1:
            less = copy.deepcopy(project)
            del less.stages[i]
            yield less
    for i, stage in enumerate(project.stages):
        for where in range(-1, len(stage["inner"])):
            block = stage if where < 0 else stage["inner"][where]
            for j in range(len(block["steps"])):
                less = copy.deepcopy(project)
                del (less.stages[i] if where < 0 else less.stages[i]["inner"][where])["steps"][j]
                yield less
        for key in ("labels", "args"):
            if stage[key]:
                less = copy.deepcopy(project)
                less.stages[i][key] = {}
                yield less
    for name in project.files:
        less = copy.deepcopy(project)
        del less.files[name]
        yield less
