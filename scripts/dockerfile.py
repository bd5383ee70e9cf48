"""Reads a Dockerfile and a .dockerignore, as far as this project's use them. What it doesn't know is an error, so that
no step is passed over in silence."""

import json
import os
import re
import shlex

KNOWN = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def stages(text):
    """[{"base", "name", "steps": [(word, rest)]}], in the order of the file."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*#", line)]
    found = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.strip().partition(" ")
        word, rest = word.upper(), rest.strip()
        if word not in KNOWN:
            raise ValueError(f"{word} isn't known here")
        if word == "FROM":
            match = re.fullmatch(r"(\S+)(?:\s+AS\s+(\S+))?", rest, re.IGNORECASE)
            if not match:
                raise ValueError(f"FROM {rest}")
            found.append({"base": match[1], "name": match[2], "steps": []})
        elif not found:
            raise ValueError(f"{word} before FROM")
        elif word in ("ENTRYPOINT", "CMD") and not rest.startswith("["):
            raise ValueError(f"{word} must be a list: a shell in between would get the signals")
        else:
            found[-1]["steps"].append((word, rest))
    return found


def packages(command):
    """What `apt-get install` in a RUN step is to install."""
    names = []
    for part in command.split("&&"):
        words = shlex.split(part)
        if words[:2] == ["apt-get", "install"]:
            names += [word for word in words[2:] if not word.startswith("-")]
    return names


def copy(rest):
    """(stage or None, sources, target) of a COPY step."""
    words = shlex.split(rest)
    stage = None
    while words and words[0].startswith("--"):
        option, _, value = words.pop(0).partition("=")
        if option != "--from":
            raise ValueError(f"COPY {option} isn't known here")
        stage = value
    return stage, words[:-1], words[-1]


def healthcheck(rest):
    """The command, as a list."""
    return json.loads(rest[rest.index("CMD") + 3 :])


class Ignore:
    """Which files are no part of the build's context. The last line that matches a path, or a folder above it, decides."""

    def __init__(self, text):
        self.rules = []
        for line in text.splitlines():
            line = line.strip()
            if line and not line.startswith("#"):
                isKept = line.startswith("!")
                self.rules.append((isKept, re.compile(self._pattern(line.lstrip("!").strip("/")) + r"(?:/.*)?")))

    @staticmethod
    def _pattern(glob):
        parts = re.split(r"(\*\*/|\*|\?)", glob)
        return "".join({"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)) for part in parts)

    def __call__(self, path):
        isOut = False
        for isKept, pattern in self.rules:
            if pattern.fullmatch(path):
                isOut = not isKept
        return isOut

    def context(self, root):
        """Relative paths of all files that are sent to the engine."""
        for folder, folders, files in os.walk(root):
            inside = os.path.relpath(folder, root)
            # Large, and never sent.
            folders[:] = [name for name in folders if inside != "." or name != ".git" and not name.startswith(".build")]
            for name in files:
                path = os.path.normpath(os.path.join(inside, name))
                if not self(path):
                    yield path
