"""What OpenAPI cannot say about a request, so that a case which is meant to be right is right. Wrong cases stay as they are.

Never here: what leaves a check or an answer out.
"""

import os
import re

import schemathesis

OWN_TOKEN = os.environ["HOLDFAST_CHECK_TOKEN_ID"]


def whole(value):
    """JSON Schema takes 3.0 for an integer; the server wants integers written as integers."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return value


@schemathesis.hook
def filter_case(context, case):
    # Who revokes the token that the cases are sent with sees nothing but 401 afterwards.
    return str((case.path_parameters or {}).get("token")) not in (OWN_TOKEN, "openapi-check")


@schemathesis.hook
def map_case(context, case):
    query = dict(case.query or {})
    if re.fullmatch(r"r?[0-9]{1,15}", str(query.get("min_revision", ""))):
        # Each that is not there yet is waited for, 5 s; that a wait ends is a test of its own.
        query["min_revision"] = "r1"
    if case.meta and case.meta.generation.mode.value == "positive":
        right(case, query)
    case.query = query
    return case


def right(case, query):
    case.body = body = whole(case.body)
    if (case.headers or {}).get("If-Match") == "":
        # The tool draws an empty value for some patterns with quotes.
        case.headers.pop("If-Match")
    if {"If-Match", "If-None-Match"} <= set(case.headers or {}):
        # What is touched at a revision is not absent.
        case.headers.pop("If-Match")
    if case.path in ("/v1/commits", "/v1/diff"):
        # These exclude each other.
        for name in [name for name in ("address", "key", "prefix") if name in query][1:]:
            query.pop(name)
    if not isinstance(body, dict):
        return
    if "Idempotency-Key" in (case.headers or {}):
        # The request's id is that of the header or that of the body, which must not differ.
        body.pop("request_id", None)
    request = body["plan"] if isinstance(body.get("plan"), dict) else body
    if body.get("org") or request.get("org") or (request.get("desired") or {}).get("org"):
        # The organisation is that of the query or that of the body, which must not differ.
        query.pop("org", None)
