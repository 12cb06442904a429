"""Runs hooks in the kit's gateway: a JSON list of cases comes in, what came of each goes out."""

import json
import sys

from tyk.testing import Gateway

path, cases = sys.argv[1], json.load(sys.stdin)
outcomes = []
with Gateway(api_id="kit", listen_path="/kit/") as gateway:
    plugin = gateway.load(path)
    for case in cases:
        name = case.pop("hook")
        try:
            outcome = plugin.call(name, **case)
        except Exception as error:
            outcomes.append({"error": str(error)})
            continue
        if outcome.answer is not None:
            shown = {
                "status": outcome.answer.status,
                "headers": sorted(map(list, outcome.answer.headers.items())),
                "body": outcome.answer.body.decode("latin-1"),
            }
        elif "response" in case:
            shown = {
                "status": outcome.response.status_code,
                "headers": sorted(map(list, outcome.headers)),
                "body": outcome.response.raw_body.decode("latin-1"),
            }
        else:
            shown = {
                "method": outcome.upstream.method,
                "url": outcome.upstream.url,
                "headers": sorted(map(list, outcome.headers)),
                "body": outcome.upstream.body.decode("latin-1"),
            }
        outcomes.append(shown)
json.dump(outcomes, sys.stdout)
