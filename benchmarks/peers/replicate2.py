"""`replicate` 2.0.0b4 as in its README: `AsyncReplicate.run`, gathered, behind a semaphore; two retries by default.

Existing files are kept.
"""

import argparse
import asyncio
import csv
from pathlib import Path

from replicate import AsyncReplicate
from replicate.lib._files import AsyncFileOutput

MODEL = (
    "stability-ai/stable-diffusion-img2img:15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d"
)


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
                wanted = {"image": row["image"], "prompt": row["prompt"]}
                [url] = await client.run(MODEL, input=wanted)
                # For a URL that begins with https, the library makes the AsyncFileOutput itself.
                path.write_bytes(await AsyncFileOutput(url, client).read())

    async with AsyncReplicate(base_url=asked.api) as client:
        ends = await asyncio.gather(*map(turn, rows), return_exceptions=True)
    for row, end in zip(rows, ends, strict=True):
        if end:
            print("failed", row["key"], repr(end))


asyncio.run(main())
