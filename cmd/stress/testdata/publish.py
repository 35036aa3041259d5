"""Insert records from several threads. Each insert opens a connection.

usage: publish.py FILE THREADS RECORDS SECONDS-TO-WAIT-FOR-A-LOCK
"""

import json
import sqlite3
import sys
import threading
import time

path, threads, records, wait = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
record = json.dumps({"number": 1, "intent": "x" * 180})


def connect():
    return sqlite3.connect(path, timeout=wait)


def insert():
    conn = connect()
    try:
        conn.execute("INSERT INTO records (at, data) VALUES (?, ?)", (time.time(), record))
        conn.commit()
    finally:
        conn.close()


def work(count, took):
    for _ in range(count):
        begin = time.perf_counter()
        try:
            insert()
        except sqlite3.OperationalError:
            continue  # the database is locked: the record is lost
        took.append((time.perf_counter() - begin) * 1000)


conn = connect()
conn.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, at REAL NOT NULL, data TEXT NOT NULL)")
conn.commit()
conn.close()

took = []
workers = [
    threading.Thread(target=work, args=(records // threads + (i < records % threads), took)) for i in range(threads)
]
begin = time.perf_counter()
for w in workers:
    w.start()
for w in workers:
    w.join()
seconds = time.perf_counter() - begin

conn = connect()
kept = conn.execute("SELECT count(*) FROM records").fetchone()[0]
conn.close()
json.dump({"seconds": seconds, "ms": took, "kept": kept}, sys.stdout)
