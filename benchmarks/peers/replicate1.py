"""`replicate` 1.0.7 as in its README: `async_run`, gathered, behind a semaphore; existing files are kept."""

import argparse
import asyncio
import csv
from pathlib import Path

import replicate
from replicate.helpers import FileOutput

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
    client = replicate.Client(base_url=asked.api.removesuffix("/v1"))
    cap = asyncio.Semaphore(asked.cap)

    async def turn(row):
        path = Path(asked.output) / f"{row['key']}.png"
        async with cap:
            if not path.exists():
                wanted = {"image": row["image"], "prompt": row["prompt"]}
                [url] = await client.async_run(MODEL, input=wanted)
                # For a URL that begins with https, the library makes the FileOutput itself.
                path.write_bytes(await FileOutput(url, client).aread())

    ends = await asyncio.gather(*map(turn, rows), return_exceptions=True)
    for row, end in zip(rows, ends, strict=True):
        if end:
            print("failed", row["key"], repr(end))


asyncio.run(main())
