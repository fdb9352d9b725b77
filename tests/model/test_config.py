from __future__ import annotations

import pytest

from syncmon_ext.model.config import Config, check_spec, parse_config, parse_spec
from syncmon_ext.model.connection import Connection, SecretReference
from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.model.task import Executor, Mode, TableSpec, Throttle

CONNECTIONS = """
[connections.flights]
url = "sqlite:///flights.db"
[connections.warehouse]
url = "postgresql://etl@localhost:5432/warehouse"
password = { env = "WAREHOUSE_PASSWORD" }
"""
TASK = """
[tasks.nightly]
source = "flights"
target = "warehouse"
"""


def parsed(text: str) -> Config:
    return parse_config(text, folder="/data/etl", origin="syncmon.toml")


def refused(text: str) -> InvalidConfig:
    with pytest.raises(InvalidConfig) as caught:
        parsed(text)
    assert caught.value.message.startswith("syncmon.toml: ")
    return caught.value


def test_config_of_the_design_is_read_whole() -> None:
    config = parsed(
        CONNECTIONS
        + TASK
        + """
mode = "append"
tables = ["airlines", { name = "flights", columns = ["id", "year"], key = ["id"],
                        target = "flights_2013", where = { year = 2013 } }]
workers = 3
chunk_rows = 50_000
direct = true
allow_lossy = ["flights.dep_time"]
throttle = { rows = 1000, bytes = 2_000_000 }
"""
    )
    assert list(config.connections) == ["flights", "warehouse"]
    assert config.connections["flights"].url == "sqlite:////data/etl/flights.db"
    assert config.connections["warehouse"].password == SecretReference(env="WAREHOUSE_PASSWORD")
    task = config.tasks["nightly"]
    assert (task.task_id, task.name, task.origin) == ("nightly", "nightly", "syncmon.toml")
    assert task.read_only
    spec = task.spec
    assert spec is not None
    assert (spec.source, spec.target, spec.mode) == ("flights", "warehouse", Mode.APPEND)
    assert spec.tables == [
        "airlines",
        TableSpec(
            name="flights",
            columns=["id", "year"],
            key=["id"],
            target="flights_2013",
            where={"year": 2013},
        ),
    ]
    assert (spec.workers, spec.chunk_rows, spec.direct) == (3, 50_000, True)
    assert spec.allow_lossy == ["flights.dep_time"]
    assert spec.throttle == Throttle(rows=1000, bytes=2_000_000)


def test_empty_file_is_an_empty_config() -> None:
    assert parsed("") == Config()


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("sqlite:///flights.db", "sqlite:////data/etl/flights.db"),
        ("sqlite:///../raw/a b.db", "sqlite:////data/raw/a b.db"),
        ("sqlite:////srv/flights.db", "sqlite:////srv/flights.db"),
        ("sqlite+pysqlite:///x.db?timeout=3", "sqlite+pysqlite:////data/etl/x.db?timeout=3"),
        ("sqlite:///~/flights.db", "sqlite:///~/flights.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://u@[::1]:5432/db", "postgresql://u@[::1]:5432/db"),
        ("postgresql:///db?host=/tmp", "postgresql:///db?host=/tmp"),
    ],
)
def test_sqlite_paths_are_relative_to_the_file(url: str, absolute: str) -> None:
    config = parsed(f'[connections.a]\nurl = "{url}"')
    assert config.connections["a"].url == absolute


def test_secret_files_are_relative_to_the_file() -> None:
    config = parsed('[connections.a]\nurl = "postgresql://u@h/d"\npassword = { file = "s/pw" }')
    assert config.connections["a"].password == SecretReference(file="/data/etl/s/pw")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://etl:hunter2@localhost/warehouse",
        "postgresql://:hunter2@localhost/warehouse",
        "postgresql://etl:hun/ter2:hunter2@localhost/warehouse",
        "postgresql+psycopg://etl:hunter2@localhost:5432/w",
        "postgresql://etl@localhost/w?password=hunter2",
        "postgresql://etl@localhost/w?sslmode=require&PassWord=hunter2",
        "postgresql://etl@localhost/w?p%61ssword=hunter2",
    ],
)
def test_password_in_a_url_is_refused_and_never_repeated(url: str) -> None:
    error = refused(f'[connections.warehouse]\nurl = "{url}"')
    assert "connections.warehouse.url" in error.message
    assert 'password = { env = "…" }' in error.hint
    assert "hunter2" not in error.message + error.hint
    assert error.__cause__ is None


@pytest.mark.parametrize(
    "line",
    [
        'password = "hunter2"',
        'password = ["hunter2"]',
        'password = { env = ["hunter2"] }',
        'password = { env = "A", file = "hunter2" }',
        "password = {}",
    ],
)
def test_password_in_place_of_a_reference_is_never_repeated(line: str) -> None:
    error = refused(f'[connections.w]\nurl = "postgresql://u@h/d"\n{line}')
    assert "connections.w.password" in error.message
    assert "hunter2" not in error.message + error.hint
    assert 'password = { env = "…" }' in error.hint


def test_text_that_is_no_url_is_never_repeated() -> None:
    error = refused('[connections.w]\nurl = "hunter2"')
    assert "connections.w.url" in error.message
    assert "hunter2" not in error.message + error.hint


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        (
            'tables = ["a"]\nworkers = "two"',
            'nightly.workers: expected int ≥ 1 and ≤ 64, got "two"',
            "",
        ),
        ('tables = ["a"]\nworkers = 0', "nightly.workers: expected int ≥ 1 and ≤ 64, got 0", ""),
        ('tables = ["a"]\nworkers = true', "nightly.workers: expected int", ""),
        ('tables = ["a"]\nchunk_rows = 1.5', "nightly.chunk_rows: expected int", ""),
        ('tables = ["a"]\nmode = "mirror"', 'nightly.mode: expected "replace" or "append"', ""),
        ('tables = ["a"]\nthrottle = { rows = 0 }', "nightly.throttle.rows: expected int > 0", ""),
        ('tables = ["a"]\ndirect = "yes"', "nightly.direct: expected true or false", ""),
        ('tables = "a"', "nightly.tables: expected list of string or table with name", ""),
        ('tables = ["a", 5]', "nightly.tables[1]: expected string or table with name, got 5", ""),
        ('tables = [{ columns = ["a"] }]', "nightly.tables[0].name: is missing", "add name"),
        (
            'tables = [{ name = "a", columns = ["x", 3] }]',
            "nightly.tables[0].columns[1]: expected string, got 3",
            "",
        ),
        (
            'tables = [{ name = "a", colums = ["x"] }]',
            "nightly.tables[0].colums: unknown field",
            "did you mean columns?",
        ),
        ('tables = ["a"]\nwokers = 2', "nightly.wokers: unknown field", "did you mean workers?"),
        ("", "nightly.tables: is missing", "add tables"),
        ("tables = []", "nightly.tables: no table is named", 'tables = ["…"]'),
        ('tables = [""]', 'nightly.tables[0].name: "" names nothing', ""),
        ('tables = ["a", "b", "a"]', "nightly.tables[2]: the table", "once"),
        ('tables = ["a", { name = "a" }]', "nightly.tables[1]: the table", "once"),
        (
            'tables = ["a", { name = "b", target = "a" }]',
            'nightly.tables[1]: the target table "a" is named in tables[0] already',
            "once",
        ),
        ('tables = ["a"]\ndirect = true', 'nightly.direct: needs mode = "append"', "remove direct"),
        (
            'tables = [{ name = "a", columns = [] }]',
            "tables[0].columns: no column",
            "leave columns",
        ),
        ('tables = [{ name = "a", key = ["k", "k"] }]', 'key: names column "k" twice', ""),
        (
            'tables = [{ name = "a", where = { y = { gt = 1 } } }]',
            "where.y: unknown operator",
            "<=",
        ),
        ('tables = [{ name = "a", where = { y = [] } }]', "where.y: the list is empty", ""),
        ('tables = [{ name = "a", where = { y = {} } }]', "where.y: holds no condition", ""),
        ('tables = [{ name = "a", where = { y = [[1]] } }]', "where.y: expected a list", ""),
        ('tables = [{ name = "a", where = { y = { "<" = [1] } } }]', "where.y: expected one", ""),
        ('tables = ["a"]\nallow_lossy = [" "]', "allow_lossy: names a column", ""),
        ('tables = [{ name = "a\\u0000" }]', "tables[0].name: ", ""),
        ('tables = [{ name = "a", columns = ["\\u0000"] }]', "columns: ", ""),
        ('tables = [{ name = "a", key = ["k\\u0000"] }]', "names nothing", ""),
        ('tables = [{ name = "a", where = { "y\\u0000" = 1 } }]', "names nothing", ""),
        ('tables = [{ name = "a", where = { y = "b\\u0000" } }]', "where.y: ", "leave it out"),
        ('tables = [{ name = "a", where = { y = ["b\\u0000"] } }]', "NUL character", ""),
        ('tables = [{ name = "a", where = { y = 9223372036854775808 } }]', "64 bits", "as a text"),
        (
            'tables = [{ name = "a", where = { y = { "<" = -9223372036854775809 } } }]',
            "where.y: -9223372036854775809 is a whole number of more than 64 bits",
            "as a text",
        ),
    ],
)
def test_mistake_in_a_task_names_the_place_and_the_remedy(
    lines: str, message: str, hint: str
) -> None:
    error = refused(CONNECTIONS + TASK + lines)
    assert message in error.message
    assert hint in error.hint


def test_largest_whole_numbers_are_values_of_a_filter() -> None:
    lines = f'tables = [{{ name = "a", where = {{ y = [{2**63 - 1}, {-(2**63)}] }} }}]'
    spec = parsed(CONNECTIONS + TASK + lines).tasks["nightly"].spec
    assert spec is not None
    assert spec.table_specs()[0].where == {"y": [2**63 - 1, -(2**63)]}


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
def test_nothing_is_less_than_null(operator: str) -> None:
    table = {"name": "a", "where": {"y": {operator: None}}}
    spec = parse_spec({"source": "shop", "target": "shop", "tables": [table]}, "")
    connections = {"shop": Connection(name="shop", url="sqlite:////x.db")}
    with pytest.raises(InvalidConfig, match=f"no value is {operator} null"):
        check_spec(spec, connections, "")


DASK = """
[connections.shop]
url = "postgresql://etl@shop/shop"
[tasks.nightly]
source = "shop"
target = "warehouse"
tables = ["a"]
executor = "dask"
"""


@pytest.mark.parametrize("address", ["tcp://host:8786", "tls://10.0.0.7:1", "tcp://[::1]:8786"])
def test_dask_is_named_with_its_scheduler(address: str) -> None:
    spec = parsed(CONNECTIONS + DASK + f'scheduler = "{address}"').tasks["nightly"].spec
    assert spec is not None
    assert (spec.executor, spec.scheduler) == (Executor.DASK, address)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (DASK, 'scheduler: executor = "dask" needs the address', "tcp://host:8786"),
        (DASK + 'scheduler = "host"', '"host" is not the address', "tcp://host:8786"),
        (DASK + 'scheduler = "http://host:80"', '"http://host:80" is not', "tcp://host:8786"),
        (DASK + 'scheduler = "tcp://host"', '"tcp://host" is not', "tcp://host:8786"),
        (
            TASK + 'tables = ["a"]\nscheduler = "tcp://host:8786"',
            'nightly.scheduler: needs executor = "dask"',
            "remove scheduler",
        ),
        (
            TASK + 'tables = ["a"]\nexecutor = "dask"\nscheduler = "tcp://host:8786"',
            "connection flights is a SQLite file",
            'executor = "local"',
        ),
        (TASK + 'tables = ["a"]\nexecutor = "ray"', 'expected "local" or "dask"', ""),
    ],
)
def test_mistake_about_dask_names_the_place_and_the_remedy(
    text: str, message: str, hint: str
) -> None:
    error = refused(CONNECTIONS + text)
    assert message in error.message
    assert hint in error.hint


def test_address_that_may_hold_a_password_is_not_repeated() -> None:
    error = refused(CONNECTIONS + DASK + 'scheduler = "tcp://me:hunter2@host:8786"')
    assert "hunter2" not in error.message + error.hint


def test_unknown_connection_is_named_with_the_nearest_one() -> None:
    error = refused(
        CONNECTIONS + '[tasks.n]\nsource = "flight"\ntarget = "warehouse"\ntables = ["a"]'
    )
    assert 'tasks.n.source: there is no connection "flight"' in error.message
    assert error.hint == "did you mean flights?"


def test_unknown_connection_of_an_empty_file_says_what_to_add() -> None:
    error = refused('[tasks.n]\nsource = "a"\ntarget = "b"\ntables = ["t"]')
    assert "[connections.a]" in error.hint


def test_table_copied_onto_itself_is_refused() -> None:
    same = '[tasks.n]\nsource = "flights"\ntarget = "flights"\ntables = '
    assert "onto itself" in refused(CONNECTIONS + same + '["a"]').message
    assert parsed(CONNECTIONS + same + '[{ name = "a", target = "b" }]').tasks["n"].spec


@pytest.mark.parametrize("bad", ['"a b"', '"ä"', '"-a"', '""', f'"{"x" * 65}"', '"a.b"', '"a\\n"'])
def test_bad_id_is_refused(bad: str) -> None:
    assert "cannot be an id" in refused(f'[tasks.{bad}]\nsource = "x"').message
    assert "cannot be an id" in refused(f'[connections.{bad}]\nurl = "sqlite:///x"').message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a = 1\nb = = 2", "(at line 2", "correct the line"),
        ("[task.nightly]\n", "task: unknown section", "did you mean tasks?"),
        ("tasks = 5", "tasks: expected tables like [tasks.NAME], got int", ""),
        ("[connections]\nflights = 3", "connections.flights: expected table", ""),
        ("[tasks]\nnightly = 3", "tasks.nightly: expected table", ""),
        ("[connections.a]\n", "connections.a.url: is missing", "add url"),
        ('[connections.a]\nurl = "sqlite:///a"\nuser = "x"', "a.user: unknown field", "url"),
        ("[tasks.a]\n[tasks.a]\n", "not valid TOML", ""),
    ],
)
def test_mistake_in_the_document_names_the_place(text: str, message: str, hint: str) -> None:
    error = refused(text)
    assert message in error.message
    assert hint in error.hint


def test_dates_in_filters_become_iso_text() -> None:
    spec = (
        parsed(
            CONNECTIONS
            + TASK
            + 'tables = [{ name = "a", where = { d = { ">=" = 2013-01-01 },\n'
            + "t = [2013-01-01T10:00:00Z] } }]"
        )
        .tasks["nightly"]
        .spec
    )
    assert spec is not None
    assert spec.table_specs()[0].where == {
        "d": {">=": "2013-01-01"},
        "t": ["2013-01-01T10:00:00+00:00"],
    }


def test_body_of_a_request_is_explained_without_a_prefix() -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse_spec({"source": "a", "target": "b", "tables": ["x"], "workers": "two"}, "")
    assert caught.value.message == 'workers: expected int ≥ 1 and ≤ 64, got "two"'
    with pytest.raises(InvalidConfig) as caught:
        parse_spec(["x"], "")
    assert caught.value.message == 'expected table with source, target, tables, got ["x"]'


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            'mode = "incremental"\ntables = ["t"]',
            r'tables\[0\]: mode = "incremental" needs a cursor',
        ),
        ('tables = [{ name = "t", cursor = "at" }]', r"tables\[0\]\.cursor: needs mode"),
        ('tables = ["t"]\nlag_seconds = 5', "lag_seconds: needs mode"),
        ('mode = "merge"\ndirect = true\ntables = ["t"]', "direct: needs mode"),
        (
            'mode = "incremental"\nlag_seconds = -1\ntables = [{ name = "t", cursor = "at" }]',
            "lag_seconds",
        ),
    ],
)
def test_cursor_and_lag_belong_to_incremental(table: str, said: str) -> None:
    text = (
        '[connections.a]\nurl = "sqlite:///a.db"\n[connections.b]\nurl = "sqlite:///b.db"\n'
        f'[tasks.t]\nsource = "a"\ntarget = "b"\n{table}\n'
    )
    with pytest.raises(InvalidConfig, match=said):
        parse_config(text, folder="/f", origin="x")


WEBHOOK_TASK = """
[connections.a]
url = "sqlite:///a.db"
[connections.b]
url = "sqlite:///b.db"
[tasks.t]
source = "a"
target = "b"
tables = ["x"]
on_finish = "ops"
"""


def webhook_config(table: str) -> Config:
    text = f"{WEBHOOK_TASK}[webhooks.ops]\n{table}\n"
    return parse_config(text, folder="/data/etl", origin="syncmon.toml")


def test_webhook_is_an_address_or_a_reference_to_one() -> None:
    plain = webhook_config('url = "https://example.org/hook"').webhooks["ops"]
    assert plain.url == "https://example.org/hook"
    kept = webhook_config('url = { file = "hook" }\ntoken = { env = "T" }').webhooks["ops"]
    assert str(kept.url) == "file /data/etl/hook"
    assert str(kept.token) == "env T"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('url = "ftp://example.org"', "no HTTP address"),
        ('url = "https://"', "no HTTP address"),
        ('url = "https://h:port/"', "no HTTP address"),
        ('url = "https://user:canary@example.org/"', "holds a password"),
        ('url = "https://h/"\ntoken = "canary"', "webhooks.ops.token"),
        ("", "url: is missing"),
        ('url = "https://h/"\nnonsense = 1', "nonsense"),
    ],
)
def test_webhook_that_cannot_be_used_is_named(table: str, words: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        webhook_config(table)
    assert words in caught.value.message
    assert "canary" not in caught.value.message


def test_task_names_a_webhook_that_is_there() -> None:
    with pytest.raises(InvalidConfig, match="on_finish: there is no webhook"):
        parse_config(WEBHOOK_TASK, folder="/", origin="syncmon.toml")
