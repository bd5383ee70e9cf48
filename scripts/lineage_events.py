"""Reads a file of lineage events by openlineage-python's models; see scripts/lineage-check, which sets up the packages."""
import argparse
import copy
import enum
import importlib
import json
import pkgutil
import sys
import types
import typing
import uuid

import attr
import openlineage.client.generated as generated
from openlineage.client.generated import base
from openlineage.client.naming import dataset as naming
from openlineage.client.serde import Serde

modules = [importlib.import_module(f"{generated.__name__}.{found.name}") for found in pkgutil.iter_modules(generated.__path__)]
facet_classes = {
    name: value for module in modules for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, base.BaseFacet) and name.endswith("Facet")
}
# The names that the schemas give to facets.
facet_names = {
    "processing_engine": "ProcessingEngineRunFacet", "errorMessage": "ErrorMessageRunFacet",
    "parent": "ParentRunFacet", "jobType": "JobTypeJobFacet", "datasetType": "DatasetTypeDatasetFacet",
    "schema": "SchemaDatasetFacet", "columnLineage": "ColumnLineageDatasetFacet",
    "inputStatistics": "InputStatisticsInputDatasetFacet",
    "dataQualityMetrics": "DataQualityMetricsInputDatasetFacet",
    "dataQualityAssertions": "DataQualityAssertionsDatasetFacet",
    "outputStatistics": "OutputStatisticsOutputDatasetFacet",
}


class Misfit(Exception):
    pass


def facet_base(kind):
    return isinstance(kind, type) and issubclass(kind, base.BaseFacet) and kind.__module__ == base.__name__


def build(kind, value, path):
    """The value as the model's type says; Misfit where it isn't."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        if value is None:
            raise Misfit(f"{path}: null is left out")
        return build(inner[0], value, path)
    if origin is list:
        if not isinstance(value, list):
            raise Misfit(f"{path}: no list")
        return [build(arguments[0], item, f"{path}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise Misfit(f"{path}: no object")
        if facet_base(arguments[1]):
            return {key: facet(arguments[1], key, item, f"{path}.{key}") for key, item in value.items()}
        return {key: build(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if kind is typing.Any:
        return value
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        if value not in [member.value for member in kind]:
            raise Misfit(f"{path}: none of the values of {kind.__name__}")
        return kind(value)
    if attr.has(kind):
        return model(kind, value, path)
    number = (int, float) if kind is float else kind
    if not isinstance(value, number) or (isinstance(value, bool) and kind is not bool):
        raise Misfit(f"{path}: no {kind.__name__}")
    return value


def facet(container, key, value, path):
    """A facet of a name, in a place where it belongs."""
    name = facet_names.get(key)
    if name is None:
        raise Misfit(f"{path}: no facet of OpenLineage's has that name")
    if not issubclass(facet_classes[name], container):
        raise Misfit(f"{path}: not a {container.__name__}")
    return model(facet_classes[name], value, path)


def model(kind, value, path):
    if not isinstance(value, dict):
        raise Misfit(f"{path}: no object")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in attr.fields(kind)}
    for key in value:
        if key not in fields:
            raise Misfit(f"{path}.{key}: {kind.__name__} has no such field")
    given = {}
    for name, field in fields.items():
        if name in ("schemaURL", "_schemaURL"):
            if value.get(name) != kind._get_schema():
                raise Misfit(f"{path}.{name}: not {kind._get_schema()}")
        elif name in value:
            given[field.alias] = build(hints[name], value[name], f"{path}.{name}")
        elif field.default is attr.NOTHING or name in ("_producer", "producer", "eventType"):
            raise Misfit(f"{path}.{name}: missing")
    try:
        return kind(**given)
    except (ValueError, TypeError) as error:
        raise Misfit(f"{path}: {error}")


def without_nothing(value):
    """Models write what wasn't given as empty."""
    if isinstance(value, dict):
        rest = {key: without_nothing(item) for key, item in value.items()}
        return {key: item for key, item in rest.items() if item not in ({}, [], None)}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


def read(event):
    """Misfit where the event isn't one, or its model doesn't say the same."""
    built = build(base.RunEvent, event, "event")
    if without_nothing(Serde.to_dict(built)) != without_nothing(event):
        raise Misfit("event: the model writes something else")
    if uuid.UUID(event["run"]["runId"]).version != 7:
        raise Misfit("event.run.runId: no UUID of version 7")
    for dataset in event["inputs"] + event["outputs"]:
        if dataset["namespace"] == "file" and naming.LocalFileSystem(dataset["name"]).get_name() != dataset["name"]:
            raise Misfit(f"{dataset['name']}: no path")


def spoiled(event):
    """The event with one thing wrong, in many ways."""
    def with_change(change):
        other = copy.deepcopy(event)
        change(other)
        return other
    current = lambda e: e["outputs"][0]
    yield "an unknown field", with_change(lambda e: e.update(extra=1))
    yield "no producer", with_change(lambda e: e.pop("producer"))
    yield "another schema", with_change(lambda e: e.update(schemaURL="https://openlineage.io/x"))
    yield "no such type", with_change(lambda e: e.update(eventType="DONE"))
    yield "no time", with_change(lambda e: e.update(eventTime="yesterday"))
    yield "a date alone", with_change(lambda e: e.update(eventTime="2026-01-01"))
    yield "no id", with_change(lambda e: e["run"].update(runId="17"))
    yield "a null", with_change(lambda e: e["job"].update(facets=None))
    yield "a count that is a text", with_change(
        lambda e: current(e)["outputFacets"]["outputStatistics"].update(rowCount="1"))
    yield "an unknown facet", with_change(
        lambda e: current(e)["facets"].update(mine=current(e)["facets"]["schema"]))
    yield "a facet where it doesn't belong", with_change(
        lambda e: current(e)["facets"].update(outputStatistics=current(e)["outputFacets"]["outputStatistics"]))
    yield "a facet without its producer", with_change(
        lambda e: current(e)["facets"]["schema"].pop("_producer"))
    yield "a facet's other schema", with_change(
        lambda e: current(e)["facets"]["schema"].update(_schemaURL="https://openlineage.io/x"))
    yield "lineage without its input", with_change(
        lambda e: current(e)["facets"]["columnLineage"]["fields"]["id"].pop("inputFields"))
    yield "an input without its field", with_change(
        lambda e: current(e)["facets"]["columnLineage"]["fields"]["id"]["inputFields"][0].pop("field"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--spoil", action="store_true", help="and see spoiled events refused")
    parser.add_argument("--rows", type=int, help="that the first run has read and written")
    options = parser.parse_args()
    with open(options.file) as file:
        events = [json.loads(line) for line in file]
    runs = {}
    for number, event in enumerate(events):
        try:
            read(event)
        except Misfit as misfit:
            sys.exit(f"Error: event {number}: {misfit}")
        runs.setdefault(event["run"]["runId"], []).append(event)
    for run, told in runs.items():
        kinds = [event["eventType"] for event in told]
        times = [event["eventTime"] for event in told]
        assert kinds[0] == "START" and set(kinds[1:-1]) <= {"RUNNING"}, (run, kinds)
        assert kinds[-1] in ("COMPLETE", "FAIL", "ABORT") or not options.spoil, (run, kinds)
        assert times == sorted(times), (run, times)
        assert len({(event["job"]["namespace"], event["job"]["name"]) for event in told}) == 1
    if options.rows is not None:
        first = list(runs.values())[0][-1]
        assert first["inputs"][0]["inputFacets"]["inputStatistics"]["rowCount"] == options.rows, first
        assert first["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == options.rows, first
    refused = 0
    if options.spoil:
        jobs = {(told[-1]["job"]["name"], told[-1]["eventType"]) for told in runs.values()}
        for job in ("run", "quality", "sweep", "late"):
            assert (f"shop.{job}", "COMPLETE") in jobs, jobs
        assert ("shop.run", "FAIL") in jobs, jobs
        text = json.dumps(events)
        assert "card" not in text and "4711" not in text, "an excluded column is told"
        whole = next(event for event in events if event["eventType"] == "COMPLETE" and event["outputs"])
        for what, event in spoiled(whole):
            try:
                read(event)
            except Misfit:
                refused += 1
                continue
            sys.exit(f"Error: {what} isn't seen")
    print(f"{len(events)} events of {len(runs)} runs are OpenLineage's, by its own models; {refused} spoiled ones refused")


main()
