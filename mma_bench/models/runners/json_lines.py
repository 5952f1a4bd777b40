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
import random
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
    _say(out, {"protocol": 1, "name": name, "revision": revision})
    for line in source or sys.stdin:
        request = json.loads(line)
        _say(out, {"answers": [_one(request, prompt, answer) for prompt in request["prompts"]]})


def with_context(prompt, tokenizer):
    """The prompt's text followed by its random tokens, drawn from a Hugging Face tokenizer's regular tokens.

    The count is exact when drawn; tokens may merge or split when the text is tokenised again.
    """
    if not prompt["context_tokens"]:
        return prompt["text"]
    special, drawn = set(tokenizer.all_special_ids), []
    rng = random.Random(prompt["context_seed"])  # noqa: S311 seeded for the data; nothing here is a secret
    while len(drawn) < prompt["context_tokens"]:
        token = rng.randrange(tokenizer.vocab_size)
        if token not in special and "\ufffd" not in tokenizer.decode([token]):
            drawn.append(token)
    return prompt["text"] + " " + tokenizer.decode(drawn)


def _one(request, prompt, answer):
    try:
        return {"key": prompt["key"], "text": answer(request, prompt)}
    except Exception as error:  # noqa: BLE001 a prompt's failure is reported as its error, with the traceback on stderr
        traceback.print_exc()
        return {"key": prompt["key"], "error": "{}: {}".format(type(error).__name__, error)}  # noqa: UP032


def _say(out, value):
    out.write(json.dumps(value) + "\n")
    out.flush()
