"""Which faults exist, what each does, and how a person asks for one.

``plan`` decides which of them strikes now; the routes do what it then does to an answer.
"""

import math
from collections.abc import Mapping

# Drawn per (job, attempt) before anything is accepted; of each group the first drawn wins.
BEFORE = {
    "refuse": "the connection ends without an answer; nothing is accepted",
    "502_before": "502 with an HTML page; nothing is accepted",
    "429": "throttled out of turn; nothing is accepted",
    "429_odd": "throttled in an odd form; nothing is accepted",
    "html200": "200 with an HTML page; nothing is accepted",
    "late_exec": "504 with an HTML page; accepted some seconds later (--late)",
}
# Drawn per (job, attempt); the prediction is accepted, but its answer is not what it should be.
AFTER = {
    "exec_and_timeout": "accepted, and never answered",
    "exec_and_drop": "accepted, then the connection is closed without an answer",
    "exec_and_reset": "accepted, then the connection is reset",
    "502_after": "accepted, then 502 with an HTML page",
    "bad_json": "accepted, then 201 with a body that is cut short",
    "no_id": "accepted, then 201 with an object that has no id",
}
# How a prediction ends. Drawn per (job, attempt), except those in LASTING, which are drawn per job.
RUN = {
    "fail_transient": "fails in a way that a second run may not",
    "nsfw": "fails in the safety check, whenever this input is run",
    "oom": "fails out of memory, whenever this input is run",
    "aborted": "ends as aborted before it starts",
    "stuck": "runs until it is canceled, or its deadline passes, or it is cut after half an hour",
    "unknown_status": "shows a status that no client knows until it ends, or none",
    "unknown_end": "has its outputs under a status that no client knows, and never another",
}
# What becomes of the answer about a prediction, or to a list. Drawn for each read or cancel of the same.
TOLD = {
    "get_5xx": "503 on reading a prediction or a list",
    "get_odd": "such a read is answered with HTML, with half of the JSON, not at all, or throttled out of turn",
    "cancel_lost": "a prediction is canceled, but that is not what the answer says, if there is one",
}
# How a prediction is shown. Drawn per (job, attempt).
SHOWN = {
    "expire_url": "the prediction's outputs are gone at once, and it says so or still lists them",
    "gone_403": "403, and not 404, where an output or an input has been deleted",
    "flagged": "the safety check drops all of a succeeded prediction's outputs but the first, or every one",
    "blacked_out": "the safety check leaves all of its outputs but the first black, or every one",
    "inline": "the prediction's outputs are data URIs",
    "early_output": "the prediction's outputs are listed while it runs, and are there once it has ended",
    "other_version": "its version is another than was asked for",
    "undated": "without the time of its end, or without any times",
    "terse": "only id, status and output of it are shown, a single output as a string; at its creation or always",
    "vanish": "404 on reading a prediction, for some seconds (--lag) or for ever",
    "list_lag": "in the list only some seconds after its creation (--lag)",
    "list_shuffle": "in the list up to some seconds from its place (--lag), maybe on another page",
    "list_bare": "in the list without its input, output, error, logs and metrics",
    "rewritten": "its input is echoed in single precision, with defaults and with a name that nobody sent",
}
# What the API offers to nobody; profiles lack more.
LACKING = {
    "no_cancel": "a cancel is answered as by an API that has none, with one of the statuses",
    "no_list": "the list is answered so",
    "no_file": "uploads, and what is asked of uploaded files, are answered so",
}
# What becomes of an uploaded file. Drawn per (content, n-th try).
UPLOADED = {"upload": "a file is read to its end and not kept"}
# What becomes of the webhook at a prediction's end, if one was asked for. Drawn per (job, attempt).
CALLED = {
    "webhook_drop": "the webhook is never called",
    "webhook_twice": "the webhook is called twice, with one id",
    "webhook_forged": "the webhook is called with a wrong signature first",
    "webhook_stale": "the webhook is called with a timestamp of ten minutes ago first",
}
# What becomes of a call by a connection that was kept open. Drawn per (job, attempt, n-th such reset) for creates, of
# which it uses up no attempt, and otherwise per (prediction, account's list or output, n-th read).
KEPT = {
    "stale": "a connection kept since an earlier call is reset as a create or a read arrives; nothing is accepted"
}
# Drawn per (output, n-th read); drip strikes creates and reads of a prediction as well.
OUTPUT = {
    "redirect": "an output's URL redirects",
    "not_image": "an output is an HTML page with the type of an image",
    "bomb": "an output that begins as an image and is gigantic",
    "truncate": "an output's body ends before its declared length",
    "no_length_cut": "an output without a declared length ends early",
    "output_busy": "an output's host answers with a status, as it does when it has too much to do",
    "drip": "an answer or an output comes byte by byte",
}
# Counts, not shares: they hold from that many accepted predictions on, until healed.
COUNTED = {
    "401_after": "every call is refused once so many predictions were accepted",
    "402_after": "every create is refused once so many predictions were accepted",
    "429_after": "every create is refused so too, with 429 and the code insufficient_quota, as one-api words it",
    "low_credit_after": "6 creates a minute (--low-credit), and no two at once, once so many were accepted",
    "outage": "no call is answered once so many were accepted, for some seconds (--outage)",
}
LASTING = frozenset({"nsfw", "oom"})
# NAME draws one of these, NAME:KIND selects one.
KINDS: Mapping[str, tuple[str, ...]] = {
    "429_odd": ("seconds", "date", "field", "text", "none", "absurd", "negative"),
    "get_odd": ("html", "cut", "drop", "429"),
    "cancel_lost": ("5xx", "drop"),
    "vanish": ("while", "ever"),
    "no_cancel": ("404", "405", "403", "501"),
    "no_list": ("404", "405", "403"),
    "no_file": ("404", "405", "403"),
    "flagged": ("fewer", "none"),
    "blacked_out": ("others", "all"),
    "terse": ("created", "always"),
    "other_version": ("other", "hidden", "null"),
    "undated": ("ended", "always"),
    "expire_url": ("removed", "listed"),
    "upload": ("5xx", "hang"),
    "redirect": ("once", "loop", "http", "metadata"),
    "bomb": ("pixels", "endless"),
    "output_busy": ("503", "429"),
    "drip": ("head", "body"),
    "outage": ("refuse", "5xx", "hang"),
}


def _with_kinds(name: str, meaning: str) -> str:
    return f"{meaning}: {name}:{'|'.join(KINDS[name])}" if name in KINDS else meaning


MEANINGS: Mapping[str, str] = {
    name: _with_kinds(name, meaning)
    for name, meaning in (
        BEFORE | AFTER | RUN | TOLD | SHOWN | LACKING | UPLOADED | CALLED | KEPT | OUTPUT | COUNTED
    ).items()
}


def parse(text: str) -> tuple[str, float]:
    """Read ``NAME=SHARE``, or ``NAME=COUNT`` for the counted ones; NAME may be ``NAME:KIND``.

    Raises ValueError with one sentence.

    >>> parse("exec_and_drop=0.05"), parse("redirect:loop=1")
    (('exec_and_drop', 0.05), ('redirect:loop', 1.0))
    """
    name, equals, amount = text.partition("=")
    try:
        value = float(amount) if equals else math.nan
    except ValueError:
        value = math.nan
    if name.partition(":")[0] in MEANINGS and math.isnan(value):
        raise ValueError(f"fault {text!r} is not of the form NAME=SHARE, for example exec_and_drop=0.05.")
    check({name: value})
    return name, value


def check(faults: Mapping[str, float]) -> None:
    """Raise ValueError with one sentence at the first fault that is unknown or out of range."""
    for fault, value in faults.items():
        name, colon, kind = fault.partition(":")
        if name not in MEANINGS:
            raise ValueError(f"fault {name!r} is not known; the faults are {', '.join(sorted(MEANINGS))}.")
        if colon and kind not in KINDS.get(name, ()):
            kinds = ", ".join(KINDS.get(name, ())) or "none"
            raise ValueError(f"fault {name} has no kind {kind!r}; its kinds are: {kinds}.")
        if name in COUNTED and not (value >= 0 and float(value).is_integer()):
            raise ValueError(f"fault {name} takes a whole number of predictions, not {value:g}.")
        if name not in COUNTED and not 0 <= value <= 1:
            raise ValueError(f"fault {name} takes a share from 0 to 1, not {value:g}.")
