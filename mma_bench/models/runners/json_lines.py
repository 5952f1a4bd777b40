"""The program side of the `process` engine; standard library only, for Python 3.8 and later.

A runner loads its model, then calls `serve` with a function that answers one prompt about one clip:

    with stdout_for_answers() as out:
        model = load()
        serve(out, "my-model", "commit or checkpoint", lambda clip, prompt: model(clip["video"], prompt["text"]))

`mma_bench.models.process` documents the protocol.
"""

import contextlib
import functools
import inspect
import json
import os
import pickle
import sys
import traceback

TRUST = "MMA_BENCH_TRUST_CHECKPOINTS"


class Unsupported(Exception):
    """The model cannot take the prompt, such as one longer than its context; the message says why."""


def require_context(fed, tokens, new_tokens, context):
    """Record the tokens of a prompt, media included; raises Unsupported if the context has no room for the answer."""
    fed["tokens"], fed["context"] = tokens, context
    if tokens + new_tokens > context:
        text = "{:,} tokens and {} for the answer do not fit into the context of {:,}"
        raise Unsupported(text.format(tokens, new_tokens, context))


def load_weights_only(torch):
    """Make `torch.load` read weights and no code, whatever the model's code asks for; says so where it cannot."""
    load = torch.load
    if os.environ.get(TRUST):
        _warn(TRUST + " is set: checkpoints are loaded as pickles, which may run any code")
        return
    if "weights_only" not in inspect.signature(load).parameters:
        _warn("this PyTorch cannot load weights only (1.13 can): checkpoints are pickles, which may run any code")
        return

    @functools.wraps(load)
    def weights_only(*args, **kwargs):
        try:
            return load(*args, **{**kwargs, "weights_only": True})
        except pickle.UnpicklingError:
            text = "{} holds more than weights, and loading that may run code; if you trust it, set {}=1"
            raise RuntimeError(text.format(args[0] if args else "the checkpoint", TRUST)) from None

    torch.load = weights_only


def _warn(text):
    sys.stderr.write("WARNING: " + text + "\n")


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
        answer: (request, prompt), both as sent by the engine, to the text, or to the text and what was fed to the model
            (`fed` of the protocol). `Unsupported` becomes that status, any other exception the prompt's error.
        source: The source of requests; None uses stdin.
    """
    _say(out, {"protocol": 2, "name": name, "revision": revision})
    for line in source or sys.stdin:
        request = json.loads(line)
        _say(out, {"answers": [_one(request, prompt, answer) for prompt in request["prompts"]]})


def _one(request, prompt, answer):
    reply = {"key": prompt["key"]}
    try:
        said = answer(request, prompt)
    except Unsupported as error:
        return dict(reply, unsupported=str(error))
    except Exception as error:  # noqa: BLE001 a prompt's failure is reported as its error, with the traceback on stderr
        traceback.print_exc()
        return dict(reply, error="{}: {}".format(type(error).__name__, error))  # noqa: UP032
    return dict(reply, text=said) if isinstance(said, str) else dict(reply, text=said[0], fed=said[1])


def _say(out, value):
    out.write(json.dumps(value) + "\n")
    out.flush()
