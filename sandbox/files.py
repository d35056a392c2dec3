"""``/v1/files``: uploaded pictures that a prediction may use as its input."""

import asyncio
import hashlib
import json
import secrets
import time
from collections import Counter
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import answers, predictions, problems
from sandbox.blobs import Blobs
from sandbox.plan import Plan
from sandbox.records import Records

_TOO_MANY_BYTES = 100_000_000
_LONGEST_NAME = 255  # bytes
# An uploaded file lives this many times as long as an output: a day instead of an hour.
_LIVES = 24


class Files:
    """Takes files, shows, lists and deletes them. Nobody can read one back: its URL is for inputs."""

    def __init__(self, lifetime: float, *, plan: Plan, records: Records, blobs: Blobs) -> None:
        self._lifetime = lifetime * _LIVES
        self._plan = plan
        self._tries: Counter[str] = Counter()
        self._records = records
        self._blobs = blobs

    async def create(self, request: Request, account: str) -> Response:
        if int(request.headers.get("content-length") or 0) > _TOO_MANY_BYTES + 2**20:
            raise problems.too_large("Files must be less than 100MB in size")
        try:
            async with request.form(max_files=1, max_fields=4) as form:
                file = await self._keep(form.get("content"), form.get("metadata"), account)
        except MultiPartException as error:
            raise problems.Problem(400, error.message, title="Bad request") from None
        content = file["checksums"]["sha256"]
        self._tries[content] += 1
        if self._plan.strikes("upload", content, self._tries[content]):
            return answers.away(self._plan.kind("upload", content, self._tries[content]) or "5xx")
        await self._records.add_file(file)
        return JSONResponse(self._describe(file, request), 201)

    async def _keep(self, content: UploadFile | str | None, metadata: Any, account: str) -> dict[str, Any]:
        if not isinstance(content, UploadFile):
            raise problems.invalid([("required", "", "content is required")])
        if not content.filename or len(content.filename.encode()) > _LONGEST_NAME:
            raise problems.invalid([("required", "", "filename must have 1 to 255 bytes")])
        body = await content.read(_TOO_MANY_BYTES)
        if len(body) == _TOO_MANY_BYTES:
            raise problems.too_large("Files must be less than 100MB in size")
        return {
            "id": secrets.token_hex(13),
            "account": account,
            "name": content.filename,
            "content_type": content.content_type or "application/octet-stream",
            "size": len(body),
            "etag": hashlib.md5(body, usedforsecurity=False).hexdigest(),
            "checksums": {"sha256": await asyncio.to_thread(self._blobs.put, body)},
            "metadata": _read_metadata(metadata),
            "t": time.time(),
        }

    async def get(self, request: Request, account: str) -> Response:
        return JSONResponse(self._describe(self._find(request, account), request))

    async def list(self, request: Request, account: str) -> Response:
        mine = [
            file for file in self._records.files.values() if file["account"] == account and self._lives(file)
        ]
        results = [self._describe(file, request) for file in reversed(mine)]
        return JSONResponse({"next": None, "previous": None, "results": results})

    async def delete(self, request: Request, account: str) -> Response:
        await self._records.delete_file(self._find(request, account)["id"])
        return Response(status_code=204)

    def find(self, file_id: str, account: str) -> dict[str, Any] | None:
        """Return a file that lives and is this account's own."""
        file = self._records.files.get(file_id)
        return file if file and file["account"] == account and self._lives(file) else None

    def _lives(self, file: dict[str, Any]) -> bool:
        return time.time() < float(file["t"]) + self._lifetime

    def _find(self, request: Request, account: str) -> dict[str, Any]:
        if file := self.find(request.path_params["id"], account):
            return file
        raise problems.not_found("File not found")

    def _describe(self, file: dict[str, Any], request: Request) -> dict[str, Any]:
        url = f"http://{request.headers.get('host', '')}/v1/files/{file['id']}"
        shown = {name: value for name, value in file.items() if name not in {"account", "t"}}
        return {
            **shown,
            "created_at": predictions.timestamp(file["t"]),
            "expires_at": predictions.timestamp(file["t"] + self._lifetime),
            "urls": {"get": url},
        }


def _read_metadata(text: Any) -> dict[str, Any]:
    try:
        metadata = json.loads(text or "{}")
    except (TypeError, ValueError):
        metadata = None
    if not isinstance(metadata, dict):
        raise problems.invalid([("type", "metadata", "metadata must be a JSON object")])
    return metadata
