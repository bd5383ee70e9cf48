"""Suites that the real Great Expectations writes and validates, for scripts/gx-check."""
import datetime
import decimal
import json
import random
import sys

import great_expectations as gx
import great_expectations.expectations as gxe


def rows():
    random.seed(7)
    made = []
    for number in range(1, 401):
        made.append(
            {
                "id": number,
                "mail": None if number % 40 == 0 else f"m{number % 390}@example.org",
                "status": ["pending", "paid", "void"][number % 3] if number % 50 else None,
                "amount": round(random.uniform(-5, 200), 2) if number % 33 else None,
                "pieces": number % 9,
                "note": "é" * (number % 12) if number % 21 else None,
                "day": f"2026-{1 + number % 12:02d}-{1 + number % 28:02d}",
            }
        )
    return made


FIELDS = [
    ("id", "int32", False), ("mail", "string", True), ("status", "string", True), ("amount", "double", True),
    ("pieces", "int32", True), ("note", "string", True), ("day", "string", True),
]


def event(number, row):
    fields = [{"type": kind, "optional": optional, "field": name} for name, kind, optional in FIELDS]
    schema = {
        "type": "struct",
        "fields": [
            {"type": "struct", "fields": fields, "optional": True, "field": "before"},
            {"type": "struct", "fields": fields, "optional": True, "field": "after"},
            {
                "type": "struct", "field": "source", "optional": False, "name": "io.debezium.connector.postgresql.Source",
                "fields": [
                    {"type": "string", "optional": False, "field": name}
                    for name in ("version", "connector", "name", "snapshot", "db", "schema", "table")
                ] + [{"type": "int64", "optional": True, "field": name} for name in ("ts_ms", "txId", "lsn")],
            },
            {"type": "string", "optional": False, "field": "op"},
            {"type": "int64", "optional": True, "field": "ts_ms"},
        ],
    }
    key = {
        "schema": {"type": "struct", "fields": [{"type": "int32", "optional": False, "field": "id"}], "optional": False},
        "payload": {"id": row["id"]},
    }
    payload = {
        "before": None, "after": row, "op": "c", "ts_ms": 1750000000000 + number,
        "source": {
            "version": "3.0.0.Final", "connector": "postgresql", "name": "gx", "ts_ms": 1750000000000 + number,
            "snapshot": "false", "db": "shop", "schema": "public", "table": "orders", "txId": number,
            "lsn": 1000 + 10 * number,
        },
    }
    return {
        "topic": "gx.public.orders", "partition": 0, "offset": number,
        "key": json.dumps(key), "value": json.dumps({"schema": schema, "payload": payload}),
    }


CONTEXT = gx.get_context(mode="ephemeral")
CONTEXT.variables.progress_bars = {"globally": False}


def suites():
    def suite(name, expectations):
        made = gx.ExpectationSuite(name=name)
        for expectation in expectations:
            made.add_expectation(expectation)
        return made

    passing = [
        gxe.ExpectColumnToExist(column="mail"),
        gxe.ExpectTableRowCountToEqual(value=400),
        gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=1000),
        gxe.ExpectColumnValuesToNotBeNull(column="id"),
        gxe.ExpectColumnValuesToNotBeNull(column="mail", mostly=0.9),
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["id", "pieces"]),
        gxe.ExpectColumnValuesToBeBetween(column="pieces", min_value=0, max_value=8),
        gxe.ExpectColumnValuesToBeBetween(column="pieces", min_value=-1, max_value=9, strict_min=True, strict_max=True),
        gxe.ExpectColumnValuesToBeInSet(column="status", value_set=["pending", "paid", "void"]),
        gxe.ExpectColumnDistinctValuesToBeInSet(column="status", value_set=["pending", "paid", "void", "other"]),
        gxe.ExpectColumnValuesToNotBeInSet(column="status", value_set=["lost"]),
        gxe.ExpectColumnValuesToMatchRegex(column="mail", regex=r"^m\d+@example\.org$"),
        gxe.ExpectColumnValuesToNotMatchRegex(column="mail", regex=r"@example\.com$"),
        gxe.ExpectColumnValueLengthsToBeBetween(column="note", min_value=0, max_value=11),
    ]
    failing = [
        gxe.ExpectColumnToExist(column="nowhere"),
        gxe.ExpectTableRowCountToEqual(value=401),
        gxe.ExpectTableRowCountToBeBetween(min_value=500),
        gxe.ExpectColumnValuesToNotBeNull(column="mail"),
        gxe.ExpectColumnValuesToBeUnique(column="mail"),
        gxe.ExpectColumnValuesToBeUnique(column="mail", mostly=0.9),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["status", "pieces"]),
        gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=150.5),
        gxe.ExpectColumnValuesToBeBetween(column="pieces", min_value=0, max_value=8, strict_min=True, strict_max=True),
        gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, mostly=0.99),
        gxe.ExpectColumnValuesToBeInSet(column="status", value_set=["pending", "paid"]),
        gxe.ExpectColumnDistinctValuesToBeInSet(column="status", value_set=["paid"]),
        gxe.ExpectColumnValuesToNotBeInSet(column="pieces", value_set=[3, 4]),
        gxe.ExpectColumnValuesToMatchRegex(column="mail", regex=r"^m[1-9]@"),
        gxe.ExpectColumnValuesToNotMatchRegex(column="mail", regex=r"^m1"),
        gxe.ExpectColumnValueLengthsToBeBetween(column="note", min_value=3, max_value=8),
        gxe.ExpectColumnValueLengthsToEqual(column="note", value=5),
    ]
    return {"passing": suite("passing", passing), "failing": suite("failing", failing)}


def write(folder):
    made = rows()
    with open(f"{folder}/events.jsonl", "w") as out:
        for number, row in enumerate(made):
            out.write(json.dumps(event(number, row)) + "\n")
    for name, suite in suites().items():
        text = suite.to_json_dict()
        with open(f"{folder}/{name}.gx.json", "w") as out:
            json.dump(text, out)
        if name == "failing":
            # As 0.x wrote them.
            older = {
                "expectation_suite_name": name, "meta": {"great_expectations_version": "0.18.22"},
                "expectations": [
                    {"expectation_type": one["type"], "kwargs": one["kwargs"], "meta": one.get("meta") or {}}
                    for one in text["expectations"]
                ],
            }
            with open(f"{folder}/older.gx.json", "w") as out:
                json.dump(older, out)


def compare(folder):
    import duckdb

    connection = duckdb.connect(f"{folder}/gx_wh.duckdb", read_only=True)
    frame = connection.execute('SELECT * FROM gx."orders" WHERE NOT is_deleted').df()
    asset = CONTEXT.data_sources.add_pandas("warehouse").add_dataframe_asset("orders")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    count = 0
    wrong = []
    for name in ("passing", "failing", "older"):
        suite = suites()["failing" if name == "older" else name]
        results = batch.validate(suite, result_format="COMPLETE").results
        theirs = {key(result.expectation_config): result for result in results}
        ours = json.load(open(f"{folder}/{name}.ours.json"))["tables"][0]
        written = json.load(open(f"{folder}/{name}.gx.json"))["expectations"]
        if ours["unmapped"] or len(ours["rules"]) != len(written):
            wrong.append(f"{name}: {len(ours['rules'])} of {len(written)} expectations are read: {ours['unmapped']}")
        for rule, one in zip(ours["rules"], written):
            kind = one.get("type") or one["expectation_type"]
            their = theirs[kind, json.dumps(kwargs(one["kwargs"]), sort_keys=True)]
            failing = their.result.get("unexpected_count")
            if kind == "expect_column_distinct_values_to_be_in_set":
                # It counts values, and we rows.
                failing = None
            met = rule["verdict"] == "pass"
            same = met == their.success and (
                failing is None or rule["failing"] is None or int(rule["failing"]) == failing)
            count += 1
            if not same:
                wrong.append(
                    f"{name}: {kind} {one['kwargs']}: {rule['verdict']} with {rule['failing']} failing; "
                    f"Great Expectations: {'pass' if their.success else 'fail'} with {failing}")
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        sys.exit(f"Error: {len(wrong)} of {count} verdicts differ")
    print(f"{count} expectations of suites that Great Expectations {gx.__version__} wrote: the same verdicts and counts")


def kwargs(all):
    return {name: value for name, value in all.items() if value is not None and name not in ("batch_id",)}


def key(config):
    return config.type, json.dumps(kwargs(config.kwargs), sort_keys=True)


if __name__ == "__main__":
    {"write": write, "compare": compare}[sys.argv[1]](sys.argv[2])
