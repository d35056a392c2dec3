"""DBOS as in its documentation: a durable queue of workflows, each step of which is retried and kept in SQLite.

The purchase is a step of its own: once its id is kept, it is not made again. A second start recovers by itself.
"""

import argparse
import asyncio
import csv
from pathlib import Path

import httpx
from dbos import DBOS, SetWorkflowID

VERSION = "15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d"
HEADERS = {"Authorization": "Bearer made-up"}
client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None))


@DBOS.step(retries_allowed=True, max_attempts=5)
async def create(api, row):
    body = {"version": VERSION, "input": {"image": row["image"], "prompt": row["prompt"]}}
    answer = await client.post(f"{api}/predictions", json=body, headers=HEADERS)
    return answer.raise_for_status().json()["urls"]["get"]


@DBOS.step(retries_allowed=True, max_attempts=5)
async def finished(url):
    while True:
        answer = await client.get(url, headers=HEADERS)
        prediction = answer.raise_for_status().json()
        if prediction["status"] not in {"starting", "processing"}:
            return prediction["output"][0]
        await asyncio.sleep(1)


@DBOS.step(retries_allowed=True, max_attempts=5)
async def fetch(url, path):
    answer = await client.get(url)
    Path(path).write_bytes(answer.raise_for_status().content)


@DBOS.workflow()
async def predict(api, row, path):
    await fetch(await finished(await create(api, row)), path)


async def main():
    parser = argparse.ArgumentParser()
    for name in ("manifest", "api", "output"):
        parser.add_argument(name)
    parser.add_argument("--cap", type=int)
    parser.add_argument("--per-minute", type=int)
    asked = parser.parse_args()
    with Path(asked.manifest).open(newline="") as file:
        rows = list(csv.DictReader(file))
    DBOS(config={"name": "predictions", "log_level": "ERROR", "system_database_url": "sqlite:///dbos.sqlite"})
    DBOS.launch()
    limiter = {"limit": asked.per_minute // 60, "period": 1.0} if asked.per_minute else None
    queue = await DBOS.register_queue_async("predictions", worker_concurrency=asked.cap, limiter=limiter)
    handles = []
    for row in rows:
        with SetWorkflowID(row["key"]):
            path = f"{asked.output}/{row['key']}.png"
            handles.append(await queue.enqueue_async(predict, asked.api, row, path))
    ends = await asyncio.gather(*(handle.get_result() for handle in handles), return_exceptions=True)
    for row, end in zip(rows, ends, strict=True):
        if end:
            print("failed", row["key"], repr(end))
    DBOS.destroy()


asyncio.run(main())
