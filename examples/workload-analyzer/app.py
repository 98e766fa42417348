#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# examples/workload-analyzer/app.py - runs database workloads under memtrace and shows where memory went.
# Knows: Flask, memtrace's package and reports. Does not know: SQL.
"""flask --app app run        (in this folder, with the package memtrace installed)

PROFILES is the folder for captures and pages, ./profiles without it."""

import os
import re
import subprocess

import memtrace
import workload
from flask import Flask, abort, jsonify, render_template, request, send_from_directory
from memtrace._files import program
from werkzeug.exceptions import HTTPException

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 4096
PROFILES = os.path.abspath(os.environ.get("PROFILES", "profiles"))
NAME = re.compile(r"(query|bulk)_\d{8}_\d{6}_\d{6}")
MOST_PROFILES = 200


def profiles():
    """Names, newest first."""
    os.makedirs(PROFILES, exist_ok=True)
    names = (file[:-len(".bin")] for file in os.listdir(PROFILES) if file.endswith(".bin"))
    return sorted(filter(NAME.fullmatch, names), key=lambda n: n.partition("_")[2], reverse=True)


def number(name, default, least, most):
    value = (request.get_json(silent=True) or {}).get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        abort(400, f"{name}: a number from {least} to {most}")
    return value


def profile(prefix, function, **arguments):
    if not request.is_json:		# a form of another site cannot send this
        abort(415, "send application/json")
    if len(profiles()) >= MOST_PROFILES:
        abort(503, f"{MOST_PROFILES} profiles are enough: remove some from {PROFILES}")
    try:
        done = memtrace.profile_function(function, profile_prefix=prefix, profile_dir=PROFILES, **arguments)
    except RuntimeError as error:	# another request is being recorded
        abort(409, str(error))
    name = done["profile"]["profileFile"][:-len(".bin")]
    del done["profile"]["profilePath"]
    done["profile"]["flamegraph"] = f"/flamegraphs/{name}.html"
    return jsonify(done)


def report(page, *command):
    """Makes a page of PROFILES once and sends it."""
    path = os.path.join(PROFILES, page)
    if not os.path.exists(path):
        done = subprocess.run([program(), *command, "-f", "-o", path], cwd=PROFILES,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            abort(500, done.stderr)
    return send_from_directory(PROFILES, page)


def known(name):
    if not NAME.fullmatch(name) or name not in profiles():
        abort(404, "no such profile")
    return name


@app.before_request
def small_requests():
    if (request.content_length or 0) > app.config["MAX_CONTENT_LENGTH"]:
        abort(413, "the request is too large")


@app.post("/profile/query")
def profile_query():
    pattern = (request.get_json(silent=True) or {}).get("pattern", "everything")
    if pattern not in workload.PATTERNS:
        abort(400, f"pattern: one of {', '.join(workload.PATTERNS)}")
    return profile("query", workload.query, pattern=pattern, rounds=number("rounds", 1, 1, 100))


@app.post("/profile/bulk-query")
def profile_bulk_query():
    return profile("bulk", workload.bulk, count=number("count", 2000, 1, workload.MOST_ROWS),
                   batch=number("batch", 0, 0, workload.MOST_ROWS))


@app.get("/profiles")
def list_profiles():
    return jsonify(profiles())


@app.get("/flamegraphs/<name>.html")
def flamegraph(name):
    return report(f"{known(name)}.html", "flamegraph", "--no-debuginfod", f"{name}.bin")


@app.get("/compare/<base>/<new>.html")
def compare(base, new):
    return report(f"{known(base)}-{known(new)}.html", "diff", "--html", "--no-debuginfod", f"{base}.bin",
                  f"{new}.bin")


@app.get("/")
def index():
    return render_template("index.html", patterns=list(workload.PATTERNS))


@app.errorhandler(HTTPException)
def say(error):
    return jsonify({"error": error.description}), error.code


if __name__ == "__main__":
    app.run()
