"""Image files in memory, made by PIL or by hand."""

import io
import struct
import zlib

from PIL import Image


def encoded(image: Image.Image, kind: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return io.BytesIO(file.getvalue())


def png(
    color_type: int, depth: int, rows: list[bytes], *chunks: tuple[bytes, bytes], size: tuple[int, int]
) -> io.BytesIO:
    """Write a PNG file by hand, since PIL cannot save all variants."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *size, depth, color_type, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(b"".join(b"\x00" + row for row in rows))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + body)
