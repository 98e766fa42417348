# SPDX-License-Identifier: Apache-2.0
# examples/workload-analyzer/workload.py - what a service does to its database, in pieces to profile.
# Knows: SQL that both databases speak. Does not know: HTTP, memtrace.
"""DATABASE_URL=postgresql://... is PostgreSQL (python3-psycopg2), without it a file of SQLite."""

import os
import random
import sqlite3
import string

SCHEMA = """CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, city TEXT NOT NULL,
    age INTEGER NOT NULL, about TEXT NOT NULL)"""
CITIES = ["Lisbon", "Oslo", "Kyoto", "Quito", "Accra", "Perth"]
MOST_ROWS = 200_000


class Database:
    """A connection, and the one difference between the two that matters here: the placeholder."""

    def __init__(self, url=None, path="workload.sqlite"):
        if url:
            import psycopg2
            self.connection, self.mark, self.name = psycopg2.connect(url), "%s", "PostgreSQL"
        else:
            self.connection, self.mark, self.name = sqlite3.connect(path), "?", "SQLite"

    @classmethod
    def open(cls):
        return cls(os.environ.get("DATABASE_URL"), os.environ.get("DATABASE_PATH", "workload.sqlite"))

    def __enter__(self):
        self.run(SCHEMA)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.connection.commit()
        self.connection.close()

    def run(self, sql, values=()):
        cursor = self.connection.cursor()
        cursor.execute(sql.replace("?", self.mark), values)
        return cursor

    def run_many(self, sql, rows):
        self.connection.cursor().executemany(sql.replace("?", self.mark), rows)


def random_users(count, first_id, seed=None):
    """Rows as an import job makes them: all of them, before the first is written."""
    chance = random.Random(seed)
    users = []
    for i in range(count):
        name = "".join(chance.choices(string.ascii_lowercase, k=8))
        users.append((first_id + i, name.title(), f"{name}.{first_id + i}@example.com",
                      chance.choice(CITIES), chance.randrange(18, 90),
                      " ".join("".join(chance.choices(string.ascii_lowercase, k=6))
                               for _ in range(40))))
    return users


def insert_users(database, users):
    database.run_many("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)", users)
    return len(users)


def bulk(count=2000, batch=0):
    """Makes and inserts `count` users: at once, or `batch` at a time."""
    with Database.open() as database:
        first = (database.run("SELECT max(id) FROM users").fetchone()[0] or 0) + 1
        step = batch or count
        for start in range(0, count, step):
            insert_users(database, random_users(min(step, count - start), first + start))
        return {"inserted": count, "database": database.name}


def load_everything(database):
    """The pattern to find: every row, to look at one column of a few."""
    rows = database.run("SELECT * FROM users").fetchall()
    return len([row for row in rows if row[4] > 60])


def count_in_database(database):
    return database.run("SELECT count(*) FROM users WHERE age > 60").fetchone()[0]


def page_by_page(database, size=200):
    found, last = 0, 0
    while True:
        rows = database.run("SELECT id, age FROM users WHERE id > ? ORDER BY id LIMIT ?",
                            (last, size)).fetchall()
        if not rows:
            return found
        found += sum(age > 60 for _, age in rows)
        last = rows[-1][0]


PATTERNS = {"everything": load_everything, "count": count_in_database, "pages": page_by_page}


def query(pattern="everything", rounds=1):
    """Asks the same question in one of three ways."""
    with Database.open() as database:
        for _ in range(rounds):
            answer = PATTERNS[pattern](database)
        return {"answer": answer, "pattern": pattern, "database": database.name}
