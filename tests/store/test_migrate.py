import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from harness.core.errors import StoreError
from harness.core.records.bisection import BisectionAnswer
from harness.core.records.run import RunData
from harness.core.records.schedule import FireCause, FireOutcome
from harness.store.databases import Database, connect
from harness.store.migrate import MIGRATIONS, bring_up_to_date
from harness.store.runs import RunStore, open_store
from harness.store.schema import HEAD, METADATA, VERSION_TABLE
from tests.schedule.test_endings import ALERT

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"


def upgrade():
    op.add_column("bench_runs", sa.Column("mood", sa.Text))
    {last}
"""


@contextmanager
def database_at(url: str) -> Iterator[Database]:
    database = connect(url, lock_wait_s=5.0)
    try:
        yield database
    finally:
        database.dispose()


@pytest.fixture
def future(tmp_path: Path) -> Callable[[str], Path]:
    """The migrations of a later version, with one step more that ends with the given statement."""

    def make(last: str) -> Path:
        directory = tmp_path / "migrations"
        shutil.copytree(MIGRATIONS, directory, ignore=shutil.ignore_patterns("__pycache__"))
        (directory / "r_next.py").write_text(NEXT.format(head=HEAD, last=last))
        return directory

    return make


@pytest.fixture
def the_migrations(tmp_path: Path) -> Path:
    """A copy of the migrations: from another place than the product's own, an empty database is stepped up by them."""
    return Path(shutil.copytree(MIGRATIONS, tmp_path / "copied", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize("way", ["by-migrations", "at-once"])
def test_the_migrations_make_the_schema_that_the_code_reads(store_url: str, the_migrations: Path, way: str) -> None:
    with database_at(store_url) as database:
        bring_up_to_date(database, migrations=the_migrations if way == "by-migrations" else MIGRATIONS)
        with database.writers.connect() as connection:
            ours = {*METADATA.tables, VERSION_TABLE}
            context = MigrationContext.configure(
                connection,
                opts={
                    "version_table": VERSION_TABLE,
                    "compare_server_default": True,
                    "include_name": lambda name, kind, _parents: kind != "table" or name in ours,
                },
            )
            assert compare_metadata(context, METADATA) == []


def described(database: Database) -> object:
    """All that the database itself says of our tables, those of Alembic included."""
    with database.readers.begin() as connection:
        reader = inspect(connection)
        tables = sorted({*METADATA.tables, VERSION_TABLE} & set(reader.get_table_names()))
        version = connection.scalar(text("SELECT version_num FROM bench_version"))
        return version, {
            table: (
                [{**column, "type": repr(column["type"])} for column in reader.get_columns(table)],
                reader.get_pk_constraint(table),
                sorted(reader.get_foreign_keys(table), key=str),
                sorted(reader.get_indexes(table), key=str),
                sorted(reader.get_unique_constraints(table), key=str),
            )
            for table in tables
        }


def test_an_empty_database_gets_what_the_migrations_would_have_made(store_url: str, the_migrations: Path) -> None:
    with database_at(store_url) as database:
        bring_up_to_date(database, migrations=the_migrations)
        stepped = described(database)
        with database.writers.begin() as connection:
            METADATA.drop_all(connection)
            connection.execute(text("DROP TABLE bench_version"))
        bring_up_to_date(database)
        assert described(database) == stepped


def test_the_newest_migration_is_the_one_that_the_code_expects() -> None:
    script = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
    assert script.get_current_head() == HEAD
    assert [step.revision for step in script.walk_revisions()] == sorted(
        (step.revision for step in script.walk_revisions()), reverse=True
    )


def test_why_a_due_time_of_an_earlier_version_ended_is_read_from_its_sentence(tmp_path: Path) -> None:
    file = tmp_path / "results.sqlite"
    ends = {
        1.0: (FireOutcome.INTERRUPTED, "the scheduler was ended"),
        2.0: (FireOutcome.INTERRUPTED, "its process ended before the run was complete"),
        3.0: (FireOutcome.FAILED, "the scheduler was ended"),
        4.0: (FireOutcome.OK, ""),
    }
    with open_store(file) as store:
        for due_at in ends:
            store.journal().enqueue(
                runner="here", job="night", due_at=due_at, asked=False, missed=0, now=0.0, machine_key="m"
            )
    with closing(sqlite3.connect(file)) as connection, connection:
        for due_at, (outcome, reason) in ends.items():
            connection.execute(
                "UPDATE bench_fires SET outcome = ?, reason = ? WHERE due_at = ?", (outcome.value, reason, due_at)
            )
        connection.execute("ALTER TABLE bench_fires DROP COLUMN cause")
        connection.execute("UPDATE bench_version SET version_num = '0008'")
    with open_store(file) as store:
        causes = {fire.due_at: fire.cause for fire in store.journal().fires()}
    assert causes == {1.0: FireCause.SCHEDULER_ENDED, 2.0: None, 3.0: None, 4.0: None}


def test_an_undecided_bisection_of_an_earlier_version_is_told_from_an_answer(tmp_path: Path) -> None:
    file = tmp_path / "results.sqlite"
    explanations = {"a": "Undecided. The most probable step is c4", "b": "c4 changed latency by +9 %", "c": ""}
    with open_store(file) as store:
        for subject in explanations:
            store.journal().open_alert(replace(ALERT, subject=subject))
    with closing(sqlite3.connect(file)) as connection, connection:
        for subject, explanation in explanations.items():
            connection.execute("UPDATE bench_alerts SET explanation = ? WHERE subject = ?", (explanation, subject))
        for column in ("answer", "confirmed_size", "confirmed_low", "confirmed_high"):
            connection.execute(f"ALTER TABLE bench_alerts DROP COLUMN {column}")
        connection.execute("ALTER TABLE bench_fires DROP COLUMN cause")
        connection.execute("UPDATE bench_version SET version_num = '0006'")
    with open_store(file) as store:
        answers = {alert.subject: alert.answer for alert in store.journal().alerts()}
    assert answers == {"a": BisectionAnswer.UNDECIDED, "b": None, "c": None}


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "results.sqlite"
    open_store(file).close()
    before = file.read_bytes()
    open_store(file).close()
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results.sqlite"]


def test_an_older_database_is_stepped_up_after_a_copy(
    tmp_path: Path, small_run: RunData, put: Callable[[RunStore, RunData], str], future: Callable[[str], Path]
) -> None:
    file = tmp_path / "results.sqlite"
    with open_store(file) as store:
        run_id = put(store, small_run)
    with database_at(str(file)) as database:
        bring_up_to_date(database, head="next", migrations=future("pass"))
        with database.readers.begin() as connection:
            assert "mood" in {column["name"] for column in inspect(connection).get_columns("bench_runs")}
            assert connection.scalar(text("SELECT version_num FROM bench_version")) == "next"
    with open_store(tmp_path / f"results.schema-{HEAD}.sqlite") as copy:
        assert copy.load(run_id) == small_run


def test_a_second_copy_leaves_the_first_alone(tmp_path: Path, future: Callable[[str], Path]) -> None:
    file, first = tmp_path / "results.sqlite", tmp_path / f"results.schema-{HEAD}.sqlite"
    open_store(file).close()
    first.write_text("an earlier copy")
    with database_at(str(file)) as database:
        bring_up_to_date(database, head="next", migrations=future("pass"))
    assert first.read_text() == "an earlier copy"
    assert (tmp_path / f"results.schema-{HEAD}-2.sqlite").exists()


def test_a_step_that_fails_leaves_the_database_as_it_was(store_url: str, future: Callable[[str], Path]) -> None:
    open_store(store_url).close()
    with database_at(store_url) as database:
        with pytest.raises(RuntimeError, match="half-way"):
            bring_up_to_date(database, head="next", migrations=future("raise RuntimeError('half-way')"))
        with database.readers.begin() as connection:
            assert "mood" not in {column["name"] for column in inspect(connection).get_columns("bench_runs")}
    with open_store(store_url) as store:
        assert store.list() == ()


def test_a_newer_database_is_refused_untouched(store_url: str) -> None:
    open_store(store_url).close()
    with database_at(store_url) as database, database.writers.begin() as connection:
        connection.execute(text("UPDATE bench_version SET version_num = '9999'"))
    with pytest.raises(
        StoreError, match=f"was written by a newer kokoro-bench \\(schema 9999, this one knows {HEAD}\\)"
    ):
        open_store(store_url)
    with database_at(store_url) as database, database.readers.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM bench_version")) == "9999"


def test_a_database_of_another_application_is_refused_untouched(tmp_path: Path) -> None:
    file = tmp_path / "holidays.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE photos (name)")
        connection.execute("INSERT INTO photos VALUES ('beach')")
        connection.commit()
    with pytest.raises(StoreError, match="is a database of another application \\(it has the table 'photos'\\)"):
        open_store(file)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT * FROM photos").fetchall() == [("beach",)]
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("photos",)]
    assert [path.name for path in tmp_path.iterdir()] == ["holidays.sqlite"]


def test_a_server_is_shared_with_other_applications_unless_a_name_is_taken(server_url: str) -> None:
    try:
        with database_at(server_url) as database:
            with database.writers.begin() as connection:
                connection.execute(text("CREATE TABLE photos (name TEXT)"))
            open_store(server_url).close()
            with database.writers.begin() as connection:
                connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        with pytest.raises(StoreError, match="is a database of another application"):
            open_store(server_url)
    finally:
        with database_at(server_url) as database, database.writers.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS photos"))
