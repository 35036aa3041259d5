"""Look up answers in a cache. Each lookup opens a connection, tries the exact key, and
then compares the hashed embedding of every entry.

usage: lookup.py FILE ENTRIES LOOKUPS hit|miss
"""

import json
import math
import operator
import sqlite3
import sys
import time
import zlib
from array import array

path, entries, lookups, what = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
DIMENSIONS = 128
ENOUGH = 0.95


def embed(text):
    v = array("f", bytes(4 * DIMENSIONS))
    for word in text.split():
        v[zlib.crc32(word.encode()) % DIMENSIONS] += 1
    length = math.sqrt(sum(x * x for x in v)) or 1
    return array("f", [x / length for x in v])


def lookup(question):
    conn = sqlite3.connect(path)
    try:
        row = conn.execute("SELECT answer FROM answers WHERE question = ?", (question,)).fetchone()
        if row:
            return row[0]
        wanted = embed(question)
        best, found = 0.0, None
        for stored, answer in conn.execute("SELECT embedding, answer FROM answers"):
            v = array("f")
            v.frombytes(stored)
            alike = sum(map(operator.mul, wanted, v))
            if alike > best:
                best, found = alike, answer
        return found if best >= ENOUGH else None
    finally:
        conn.close()


conn = sqlite3.connect(path)
conn.execute("CREATE TABLE answers (question TEXT PRIMARY KEY, embedding BLOB NOT NULL, answer TEXT NOT NULL)")
questions = [f"install package number {i} for project {i * 7919 % entries}" for i in range(entries)]
conn.executemany("INSERT INTO answers VALUES (?, ?, ?)", ((q, embed(q).tobytes(), "a") for q in questions))
conn.commit()
conn.close()

begin = time.perf_counter()
for i in range(lookups):
    if what == "hit":
        assert lookup(questions[i * 7919 % entries]) == "a"
    else:
        assert lookup("show me what nobody has ever asked of this machine before") is None
json.dump({"seconds": time.perf_counter() - begin}, sys.stdout)
