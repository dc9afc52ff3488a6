"""psql through the gate: what people and shell scripts do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.servers import Database, Gate


@pytest.fixture
def psql(binaries: Path, each_gate: Gate):
    def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binaries / "psql", "-X", "-A", "-t", *arguments, each_gate.address],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PGCLIENTENCODING": "UTF8"},
        )

    return run


def test_a_statement_prints_its_rows(psql) -> None:
    done = psql("-c", "SELECT id, amount > 0 FROM orders ORDER BY id LIMIT 3")
    assert (done.stdout, done.stderr) == ("1|t\n2|t\n3|t\n", "")


def test_describe_shows_the_catalogue(psql) -> None:
    done = psql("-c", "\\d+ cards")
    assert done.returncode == 0, done.stderr
    assert "pan|text||not null" in done.stdout


def test_the_lists_of_psql_work(psql) -> None:
    for command in ("\\dt", "\\l", "\\du", "\\dn", "\\df", "\\conninfo", "\\sv pg_catalog.pg_user"):
        done = psql("-c", command)
        assert (done.returncode, done.stderr) == (0, ""), command


def test_copy_in_and_out_by_psql(psql, tmp_path: Path) -> None:
    source, copied = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("".join(f"{number},name {number}\n" for number in range(5000)))
    done = psql(
        text=f"CREATE TEMP TABLE visits (id int, name text);\n"
        f"\\copy visits FROM '{source}' CSV\n"
        f"\\copy (SELECT * FROM visits ORDER BY id) TO '{copied}' CSV\n"
    )
    assert "COPY 5000" in done.stdout, done.stderr
    assert copied.read_text() == source.read_text()


def test_several_statements_at_once_and_an_error_in_the_middle(psql) -> None:
    done = psql("-c", "SELECT 1; SELECT 1/0; SELECT 2")
    assert done.stdout == "1\n"
    assert "division by zero" in done.stderr


def test_variables_and_meta_commands_that_prepare(psql) -> None:
    done = psql(
        text="SELECT 40 AS forty \\gset\nSELECT $1::int + :forty \\bind 2 \\g\n"
        "SELECT 'one' \\parse p\n\\bind_named p \\g\n"
    )
    assert done.stdout.split() == ["42", "one"], done.stderr


def test_a_wrong_password_is_refused_without_a_word_on_why(binaries: Path, each_gate: Gate) -> None:
    answers = []
    for user in ("agent", "nobody-of-that-name"):
        done = subprocess.run(
            [binaries / "psql", "-X", f"host=127.0.0.1 port={each_gate.port} user={user} password=wrong dbname=shop"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        answers.append(done.stderr.replace(user, "USER"))
    assert answers[0] == answers[1]
    assert "authentication failed" in answers[0]


def test_the_password_of_the_database_opens_nothing(binaries: Path, each_gate: Gate, postgres: Database) -> None:
    login = f"host=127.0.0.1 port={each_gate.port} user={postgres.user} password={postgres.password} dbname=shop"
    done = subprocess.run([binaries / "psql", "-X", login], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "authentication failed" in done.stderr


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_runs_without_a_failed_transaction(binaries: Path, each_gate: Gate, mode: str, tmp_path: Path) -> None:
    script = tmp_path / "mixed.sql"
    script.write_text(
        "\\set id random(1, 100)\n"
        "BEGIN;\n"
        "SELECT name FROM customers WHERE id = :id;\n"
        "UPDATE orders SET amount = amount + 0 WHERE id = :id;\n"
        "END;\n"
    )
    done = subprocess.run(
        [
            *(binaries / "pgbench", "--host=127.0.0.1", f"--port={each_gate.port}", "--username=agent", "--no-vacuum"),
            *(f"--protocol={mode}", f"--file={script}", "--client=8", "--transactions=50", "shop"),
        ],
        env={**os.environ, "PGPASSWORD": each_gate.password},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "number of transactions actually processed: 400/400" in done.stdout, done.stderr
    assert "number of failed transactions: 0 " in done.stdout
