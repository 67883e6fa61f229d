"""The multipart uploads of a bucket: begun, resumed where an earlier run was killed, aborted where nobody goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fsync.errors import printable
from fsync.pacing import Verdict, classify, describe
from fsync.storage.entry import Entry
from fsync.storage.journal import OpenUpload
from fsync.storage.multipart import Call, MultipartUpload, part_size
from fsync.storage.running import Running
from fsync.storage.s3_headers import to_say

_log = logging.getLogger("fsync")


class S3Uploads:
    """Uploads into one bucket by ``call``; ``place`` is the endpoint and the bucket as text.

    ``sums``, asked when a request has been made, tells whether botocore would add a CRC32 of its own accord.
    """

    def __init__(self, call: Call, place: str, running: Running, sums: Callable[[], bool]) -> None:
        self._call, self._place, self._running, self._sums = call, place, running, sums

    async def begin(self, key: str, entry: Entry) -> MultipartUpload:
        """Begin the upload of an entry under a whole key, or go on with one that a killed run has left."""
        assert entry.size is not None
        running, size, journal = self._running, part_size(entry.size), self._running.journal
        version = [running.origin, entry.size, entry.mtime, entry.etag, entry.identity]
        version += [running.storage_class, running.metadata]
        known = journal.adopt(self._place, key, version, size) if entry.etag or entry.identity else None
        if known is not None:
            upload = self._upload(key, known.upload, size)
            try:
                await upload.resume(known.parts)
            except Exception as error:
                if classify(error) is not Verdict.GONE:
                    raise
                journal.ended(known.upload)
            else:
                _log.info("%s is resumed: %d parts are there already", printable(entry.key), len(upload.present))
                return upload
        answer = await self._call("create_multipart_upload", Key=key, **to_say(entry, running))
        journal.began(OpenUpload(answer["UploadId"], self._place, key, version, size))
        return self._upload(key, answer["UploadId"], size)

    async def sweep(self, prefix: str) -> None:
        """Abort the uploads of keys that begin with a prefix, which earlier runs have left and nobody has finished."""
        journal = self._running.journal
        for one in journal.strays(self._place, prefix):
            try:
                await self._upload(one.key, one.upload, one.part_size).abort()
            except Exception as error:
                _log.warning("an unfinished upload of %s could not be aborted: %s", printable(one.key), describe(error))
            else:
                journal.forget(one)

    def _upload(self, key: str, upload_id: str, size: int) -> MultipartUpload:
        # with another algorithm, or none, it is left to botocore
        return MultipartUpload(self._running, self._call, key, upload_id, size, sums=self._sums)
