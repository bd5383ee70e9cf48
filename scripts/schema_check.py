"""Called by scripts/schema-check."""
import copy
import json
import pathlib
import re
import sys

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "Sources" / "PipelineFile" / "Schema" / "millrace.schema.json"


class Editor(yaml.SafeLoader):
    """YAML as editors read it: 1.2's core schema, in which `yes` and a date are texts."""


Editor.yaml_implicit_resolvers = {}
for tag, pattern, first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"|~|null|Null|NULL", ["", "~", "n", "N"]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
]:
    Editor.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


def spoiled(file):
    """Copies of a valid file, each with one mistake."""

    def changed(change):
        other = copy.deepcopy(file)
        change(other)
        return other

    yield "an unknown key", changed(lambda f: f.update(batsh={}))
    yield "no warehouse", changed(lambda f: f.pop("warehouse"))
    yield "two sources", changed(lambda f: f["source"].update(file={"path": "f"}, postgres={"url": "postgres://h/d"}))
    yield "another name", changed(lambda f: f.update(pipeline="Shop"))
    yield "a time without its unit", changed(lambda f: f.update(batch={"max_delay": 500}))
    yield "no such word", changed(lambda f: f["source"].update(snapshot="sometimes"))
    yield "an unknown key in a table", changed(lambda f: f.update(tables=[{"source": "a.b", "keys": ["id"]}]))


def main():
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    paths = [*(ROOT / "connectors").rglob("*.yaml"), *(ROOT / "deploy").rglob("millrace.yaml")]
    problems = []
    refused = 0
    for path in sorted(paths):
        file = yaml.load(path.read_text(), Loader=Editor)
        shown = path.relative_to(ROOT)
        problems += [f"{shown}: {error.json_path}: {error.message}" for error in validator.iter_errors(file)]
        for mistake, other in spoiled(file):
            if validator.is_valid(other):
                problems.append(f"{shown}: {mistake} passes")
            refused += 1
    if len(paths) < 15:
        problems.append(f"only {len(paths)} pipeline files were found")
    for problem in problems:
        print(f"Error: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{len(paths)} pipeline files fit the schema, {refused} spoiled ones are refused")


main()
