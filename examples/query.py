import os

import psycopg

connection = psycopg.connect(os.environ["GATEPOST_URL"], autocommit=True)


def query(sql: str) -> str:
    """Run one SQL statement on the shop's database."""
    try:
        cursor = connection.execute(sql)
    except psycopg.Error as error:
        said = error.diag
        return "\n".join(filter(None, [said.message_primary, said.message_detail, said.message_hint])) or str(error)
    return str(cursor.fetchmany(100)) if cursor.description else cursor.statusmessage or ""
