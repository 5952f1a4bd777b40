"""The program side of the `process` engine; standard library only, for Python 3.8 and later.

A runner loads its model, then calls `serve` with a function that answers one prompt about one clip:

    with stdout_for_answers() as out:
        model = load()
        serve(out, "my-model", "commit or checkpoint", lambda clip, prompt: model(clip["video"], prompt["text"]))

`mma_bench.models.process` documents the protocol.
"""

import contextlib
import json
import os
import sys
import traceback


@contextlib.contextmanager
def stdout_for_answers():
    """The stdout that the engine reads; all other output, including that of C code, is redirected to stderr.

    The working directory is added to the import path.
    """
    sys.path.insert(1, os.getcwd())  # noqa: PTH109
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield out
    finally:
        out.close()


def serve(out, name, revision, answer, source=None):
    """Answer requests until there are no more.

    Args:
        out: As `stdout_for_answers` gives it.
        name: The model's name.
        revision: The revision of the weights.
        answer: (request, prompt) to text, both as sent by the engine. An exception becomes the prompt's error.
        source: The source of requests; None uses stdin.
    """
    _say(out, {"protocol": 2, "name": name, "revision": revision})
    for line in source or sys.stdin:
        request = json.loads(line)
        _say(out, {"answers": [_one(request, prompt, answer) for prompt in request["prompts"]]})


def _one(request, prompt, answer):
    try:
        return {"key": prompt["key"], "text": answer(request, prompt)}
    except Exception as error:  # noqa: BLE001 a prompt's failure is reported as its error, with the traceback on stderr
        traceback.print_exc()
        return {"key": prompt["key"], "error": "{}: {}".format(type(error).__name__, error)}  # noqa: UP032


def _say(out, value):
    out.write(json.dumps(value) + "\n")
    out.flush()
