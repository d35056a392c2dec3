"""The floor: aiohttp, a semaphore, a wait after 429, and nothing that outlives the process.

It does not buy what is on disk already. Everything else that a night needs is missing on purpose.
"""

import argparse
import asyncio
import csv
from pathlib import Path

import aiohttp

VERSION = "15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d"
HEADERS = {"Authorization": "Bearer made-up", "Prefer": "wait"}


async def ask(session, method, url, **given):
    while True:
        async with session.request(method, url, **given) as answer:
            if answer.status != 429:
                answer.raise_for_status()
                return await answer.json()
            wait = float(answer.headers["retry-after"])
        await asyncio.sleep(wait)


async def predict(session, api, row, path):
    body = {"version": VERSION, "input": {"image": row["image"], "prompt": row["prompt"]}}
    prediction = await ask(session, "POST", f"{api}/predictions", json=body, headers=HEADERS)
    while prediction["status"] in {"starting", "processing"}:
        await asyncio.sleep(0.5)
        prediction = await ask(session, "GET", prediction["urls"]["get"], headers=HEADERS)
    async with session.get(prediction["output"][0]) as answer:
        answer.raise_for_status()
        path.write_bytes(await answer.read())


async def main():
    parser = argparse.ArgumentParser()
    for name in ("manifest", "api", "output"):
        parser.add_argument(name)
    parser.add_argument("--cap", type=int)
    parser.add_argument("--per-minute", type=int, help="nothing here keeps to it")
    asked = parser.parse_args()
    with Path(asked.manifest).open(newline="") as file:
        rows = list(csv.DictReader(file))
    cap = asyncio.Semaphore(asked.cap)

    async def turn(row):
        path = Path(asked.output) / f"{row['key']}.png"
        async with cap:
            if not path.exists():
                await predict(session, asked.api, row, path)

    connector = aiohttp.TCPConnector(limit=asked.cap)
    async with aiohttp.ClientSession(connector=connector) as session:
        ends = await asyncio.gather(*map(turn, rows), return_exceptions=True)
    for row, end in zip(rows, ends, strict=True):
        if end:
            print("failed", row["key"], repr(end))


asyncio.run(main())
