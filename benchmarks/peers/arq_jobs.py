"""arq as in its documentation: unique job ids, `max_jobs`, a `Retry` that waits longer each time, an httpx session.

A second start finds the queue in the broker. A job whose worker died is taken up again after `job_timeout`.
"""

import argparse
import asyncio
import csv
import os
from pathlib import Path

import httpx
from arq import Retry, Worker, create_pool
from arq.connections import RedisSettings

VERSION = "15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d"
HEADERS = {"Authorization": "Bearer made-up", "Prefer": "wait"}
BROKER = RedisSettings.from_dsn(os.environ["PEER_BROKER"])
JOB_TIMEOUT = 60  # seconds


async def open_session(ctx):
    ctx["session"] = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None))


async def predict(ctx, api, row, path):
    try:
        await run(ctx["session"], api, row, path)
    except httpx.HTTPError as error:
        raise Retry(defer=ctx["job_try"] * 5) from error


async def run(session, api, row, path):
    body = {"version": VERSION, "input": {"image": row["image"], "prompt": row["prompt"]}}
    answer = await session.post(f"{api}/predictions", json=body, headers=HEADERS)
    prediction = answer.raise_for_status().json()
    while prediction["status"] in {"starting", "processing"}:
        await asyncio.sleep(1)
        answer = await session.get(prediction["urls"]["get"], headers=HEADERS)
        prediction = answer.raise_for_status().json()
    picture = await session.get(prediction["output"][0])
    Path(path).write_bytes(picture.raise_for_status().content)


async def main():
    parser = argparse.ArgumentParser()
    for name in ("manifest", "api", "output"):
        parser.add_argument(name)
    parser.add_argument("--cap", type=int)
    parser.add_argument("--per-minute", type=int, help="nothing here keeps to it")
    asked = parser.parse_args()
    with Path(asked.manifest).open(newline="") as file:
        rows = list(csv.DictReader(file))
    broker = await create_pool(BROKER)
    for row in rows:
        path = f"{asked.output}/{row['key']}.png"
        await broker.enqueue_job("predict", asked.api, row, path, _job_id=row["key"])
    worker = Worker(
        [predict], redis_settings=BROKER, on_startup=open_session, burst=True,
        max_jobs=asked.cap, max_tries=5, job_timeout=JOB_TIMEOUT,
    )  # fmt: skip
    await worker.main()
    for end in await broker.all_job_results():
        if not end.success:
            print("failed", end.job_id, repr(end.result))
    await worker.close()


asyncio.run(main())
