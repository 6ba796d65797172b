"""Taking one file out of a zip archive."""

import errno
import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from stages.lib import growth
from stages.plumbing import console
from stages.plumbing.problem import Problem, listed

BLOCK = 1 << 20


def take_out(archive: Path, wanted: str, target: Path) -> str:
    """Write the member `wanted` (its whole name, or the last part when only one ends so) to `target`.

    Names in the archive decide nothing about where a file is written. Returns the member's whole name; raises Problem
    for what is no zip archive, lacks the member, is damaged, wants a password or swells.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            member = _member(opened, wanted, archive)
            growth.hold(archive, member.file_size, member.compress_size)
            with (
                opened.open(member) as packed,
                target.open("wb") as file,
                console.bar("unpack", member.file_size, "bytes") as progress,
            ):
                while block := packed.read(BLOCK):
                    progress.update(file.write(block))
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        # bz2 gives damage no number, and a seek before the file's start gives EINVAL; any other is the disk's own.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        told = " ".join(str(error).split())
        raise Problem(str(archive), told, "a complete zip archive", "download it again, or leave member: out") from None
    except RuntimeError as error:  # a password is wanted, or the method is one that Python does not know
        told = " ".join(str(error).split())
        raise Problem(str(archive), told, "a zip archive that opens", "unpack it yourself") from None
    return member.filename


def _member(opened: zipfile.ZipFile, wanted: str, archive: Path) -> zipfile.ZipInfo:
    there = [member for member in opened.infolist() if not member.is_dir()]
    exact = [member for member in there if member.filename == wanted]
    found = exact or [member for member in there if PurePosixPath(member.filename).name == wanted]
    if len(found) != 1:
        names = listed([member.filename for member in found or there])
        told = f"{len(found)} members of that name among {len(there)}: {names}"
        raise Problem(f"{archive}, member {wanted}", told, "exactly one", "correct member: in the pointer file")
    return found[0]
