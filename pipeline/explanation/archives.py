"""Zip archives that came with a version: counted before they are listed, listed before they are read."""

import io
import zipfile
from collections.abc import Sequence

ENTRY = b"PK\x01\x02"  # begins each entry of the directory at the end
RATIO_FROM = 50 * 2**20  # bytes: what unpacks to less may be packed as well as it can be
MOST_RATIO = 100


def members_of(data: bytes, *, most_members: int, most_bytes: int) -> Sequence[zipfile.ZipInfo]:
    """Raises ValueError where they are too many, or unpack to too much; BadZipFile and the like for other files.

    The declared sizes can be believed: zipfile stops reading a member there, and the checksum then fails.
    """
    if data.count(ENTRY) > most_members:
        raise ValueError(f"it has more than {most_members:,} members")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    if unpacked > most_bytes:
        raise ValueError(f"it unpacks to more than {most_bytes // 2**20} MB")
    if unpacked > RATIO_FROM and unpacked > MOST_RATIO * len(data):
        raise ValueError(f"it unpacks to more than {MOST_RATIO} times its size")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("it has two members of the same name")
    return members
