"""Reading of files that are compressed with Zstandard, to the end of the last frame."""

from collections.abc import Iterator
from io import RawIOBase
from typing import IO, Any

BLOCK_SIZE = 2**17
"""Number of compressed bytes that are read at once."""


class ZstandardReader(RawIOBase):
    """Reads all frames of a file. A file that ends within a frame raises `EOFError`; `zstandard` returns fewer bytes.

    Args:
        file: the compressed file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._blocks = _decompressed_blocks(file)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read bytes into a buffer and return their number, 0 at the end of the file."""
        target = memoryview(buffer).cast("B")
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _decompressed_blocks(file: IO[bytes]) -> Iterator[bytes]:
    from zstandard import ZstdDecompressor

    frame = None
    while block := file.read(BLOCK_SIZE):
        while block:
            frame = frame or ZstdDecompressor().decompressobj()
            if decompressed := frame.decompress(block):
                yield decompressed
            block = frame.unused_data
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the file ends before the end of its last frame")
