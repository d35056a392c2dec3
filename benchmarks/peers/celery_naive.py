"""Celery as in its tutorial: one task per job that runs the prediction, `autoretry_for`, results in the same broker.

It has as many threads as may be in flight. The first start fills the queue; a second one starts the worker again.
"""

import argparse
import csv
import os
import subprocess
import sys
from pathlib import Path

import replicate
from celery import Celery, group
from celery.result import GroupResult
from replicate.helpers import FileOutput

MODEL = (
    "stability-ai/stable-diffusion-img2img:15a3689ee13b0d2616e98820eca31d4c3abcd36672df6afce5cb6feb1d66087d"
)
BROKER = os.environ["PEER_BROKER"]
app = Celery("celery_naive", broker=BROKER, backend=BROKER)
client = replicate.Client(base_url=os.environ["PEER_API"].removesuffix("/v1"))


@app.task(autoretry_for=(Exception,), retry_backoff=True, max_retries=5, rate_limit=os.environ["PEER_RATE"])
def predict(row, path):
    [url] = client.run(MODEL, input={"image": row["image"], "prompt": row["prompt"]})
    # For a URL that begins with https, the library makes the FileOutput itself.
    Path(path).write_bytes(FileOutput(url, client).read())


def main():
    parser = argparse.ArgumentParser()
    for name in ("manifest", "api", "output"):
        parser.add_argument(name)
    parser.add_argument("--cap", type=int)
    parser.add_argument("--per-minute", type=int, help="told to the task by PEER_RATE")
    asked = parser.parse_args()
    with Path(asked.manifest).open(newline="") as file:
        rows = list(csv.DictReader(file))
    queued = Path("queued")
    if not queued.exists():
        job = group(predict.s(row, f"{asked.output}/{row['key']}.png") for row in rows)
        result = job.apply_async()
        result.save()
        queued.write_text(result.id)
    folder = Path(__file__).parent
    worker = f"-m celery --workdir {folder} -A celery_naive worker -P threads -c {asked.cap} -l ERROR"
    with subprocess.Popen([sys.executable, *worker.split()]) as child:
        result = GroupResult.restore(queued.read_text(), app=app)
        result.join(propagate=False)
        child.terminate()
    for row, end in zip(rows, result.results, strict=True):
        if end.failed():
            print("failed", row["key"], repr(end.result))


if __name__ == "__main__":
    main()
