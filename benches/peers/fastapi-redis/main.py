"""Peer: FastAPI, uvicorn with uvloop and httptools, redis-py with hiredis: the origin's recipe.

Does: one HGETALL for each request; the first of eight popups that the user has not seen is shown;
HSET and RPUSH in one pipeline before the answer leaves. Bodies are made as bytes and not by a
model, which is the fastest that FastAPI has.
Does not: targets, gaps, caps, windows, events, tokens that can be checked, a second look (two
requests of one user at once both show), anything while Redis is away, records in SQL.

    python main.py REDIS_PORT PORT
"""

import sys
import time

import redis.asyncio
import uvicorn
from fastapi import FastAPI, Response

POPUPS = [b"campaign-%d" % number for number in range(7, -1, -1)]
BODY_BYTES = 180
NOTHING = b'{"decision":null,"popup":null,"reason":"nothing_left","next_in":null}'.ljust(BODY_BYTES)

app = FastAPI(openapi_url=None)
store = redis.asyncio.Redis(host="127.0.0.1", port=int(sys.argv[1]))


async def show(user: str, popup: bytes) -> bytes:
    name, now = popup.decode(), int(time.time() * 1000)
    pipeline = store.pipeline(transaction=False)
    pipeline.hset("u:" + user, popup, now)
    pipeline.rpush("shows", f'{{"user":"{user}","popup":"{name}","at":{now}}}')
    await pipeline.execute()
    body = (
        f'{{"decision":"{user}.{name}.{now}","popup":{{"id":"{name}","version":1,"content":'
        '{"title":"Campaign","text":"Something worth a look"}},"expires_in":30}'
    )
    return body.encode().ljust(BODY_BYTES)


@app.get("/v1/decide")
async def decide(user: str, placement: str) -> Response:
    seen = await store.hgetall("u:" + user)
    popup = next((popup for popup in POPUPS if popup not in seen), None)
    body = NOTHING if popup is None or placement != "home" else await show(user, popup)
    return Response(body, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        backlog=4096,
        lifespan="off",
    )
