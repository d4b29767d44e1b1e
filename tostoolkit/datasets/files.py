"""Files of published data: found in a folder, or fetched into one, and checked.

A file is looked for in the folder given as `path`; where none is given, in the folder that the
environment variable ``TOSTOOLKIT_DATA`` names, then in ``data/external`` of the working directory
or of the one above it, where a notebook's project is. Nothing is fetched unless `fetch` is asked
to, and nothing is taken on trust: contents are checked by their SHA-256.
"""

import hashlib
import os
import re
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

#: Environment variable that names the folder of published data.
VARIABLE = "TOSTOOLKIT_DATA"
EXTERNAL = Path("data", "external")


class NotAtHandError(FileNotFoundError):
    """There is no local copy of a published file."""


def raw_url(repository: str, commit: str, path: str) -> str:
    """Return the address of one file of a GitHub repository at a commit."""
    return f"https://raw.githubusercontent.com/{repository}/{commit}/{path}"


def locate(path: str | Path | None, pattern: str, name: str, url: str, sha256: str | None = None
           ) -> Path:
    """Return the local file whose name, or end of the path, matches `pattern`, checked.

    `path` is the file, a folder that holds it at any depth, or None, which looks where published
    data may lie. What is wrong is said with `name`, the data set's, and `url`, where the file was
    published: that there is no local copy, or that it does not hash to `sha256`.
    """
    file = find_local(path, pattern)
    if file is None:
        where = f"in {str(path)!r}" if path is not None else (
            f"in {VARIABLE} ({os.environ.get(VARIABLE) or 'not set'}) or in {EXTERNAL.as_posix()}")
        raise NotAtHandError(
            f"{name}: no {pattern} {where}; fetch it: python -m tostoolkit data {name} --to "
            f"{EXTERNAL.as_posix()}. Or download {url} elsewhere, and name its folder in "
            f"{VARIABLE} or pass it: tos.datasets.load({name!r}, path='folder')")
    if sha256:
        check_file(file, sha256, url)
    return file


def check_file(file: Path, sha256: str, url: str) -> None:
    """Raise ValueError unless the file is the one that was published."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != sha256:
        raise damaged(file, f"SHA-256 {digest[:12]} instead of {sha256[:12]}: it is damaged, "
                            f"fetched in part, or not the file published at {url}")


def find_local(path: str | Path | None, pattern: str) -> Path | None:
    """Return the local file that matches `pattern`; None where there is none."""
    if path is not None and Path(path).is_file():
        return Path(path)
    folders = _local_folders() if path is None else [Path(path)]
    return next((file for folder in folders for file in sorted(folder.rglob(pattern))
                 if file.is_file()), None)


def _local_folders():
    """Return the folders in which published data may lie, the one that the user named first."""
    named = os.environ.get(VARIABLE)
    if named and not Path(named).is_dir():
        raise NotADirectoryError(
            f"{VARIABLE}: {named!r} is not a folder; name one that holds published data, or unset "
            f"it to look in {EXTERNAL.as_posix()}")
    here = Path.cwd()
    folders = [Path(named)] if named else []
    return folders + [base / EXTERNAL for base in (here, here.parent) if (base / EXTERNAL).is_dir()]


def fetch(files: Mapping[str, tuple[str, str | None]], folder: str | Path, name: str) -> None:
    """Fetch those of a data set's files that a folder lacks, with a progress bar.

    `files` holds path under the folder -> (address, SHA-256 where it is known). A file gets its
    name in the folder, which is made if it is not there, once all of it is there and, where its
    SHA-256 is known, is right. A file that is there already stays as it is.
    """
    import pooch
    from tqdm import tqdm

    pooch.get_logger().setLevel("WARNING")  # the bar says what is fetched
    lacking = {file: source for file, source in files.items()
               if not os.path.lexists(Path(folder) / file)}
    one = len(lacking) == 1  # then the bar is of its bytes
    for file, (url, sha256) in tqdm(lacking.items(), name, unit="file", disable=one or not lacking):
        target = Path(folder) / file
        try:
            pooch.retrieve(url, sha256 and f"sha256:{sha256}", target.name, target.parent,
                           progressbar=one)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise type(error)(f"folder: {str(target.parent)!r} cannot be written "
                              f"({error.strerror}); name another folder") from error
        except OSError as error:  # requests' own errors among them
            raise ConnectionError(
                f"{url} could not be fetched into {str(folder)!r} "
                f"({type(error).__name__}); try again later, or download it elsewhere and put it "
                f"there as {file}") from error
        except ValueError as error:
            raise ValueError(f"what {url} has now is not what was published there ({error})"
                             ) from error


def read_archive(archive: Path, prefix: str, pattern: str, expected: str) -> dict[str, bytes]:
    """Return path -> bytes of the files under `prefix` whose paths match `pattern`, checked.

    `expected` is the SHA-256 over their sorted (path, SHA-256).
    """
    try:
        with tarfile.open(archive) as tar:
            files = {
                member.name.removeprefix(prefix): tar.extractfile(member).read()
                for member in tar
                if member.isfile() and member.name.startswith(prefix)
                and re.fullmatch(pattern, member.name.removeprefix(prefix))
            }
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise damaged(archive, "the archive is damaged, or was fetched in part "
                               f"({str(error).splitlines()[0]})") from None
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    if digest.hexdigest() != expected:
        raise damaged(
            archive, f"its {len(files)} files are not those published at the pinned commit "
                     f"({digest.hexdigest()[:12]} instead of {expected[:12]})")
    return files


def damaged(file: Path, what: str) -> ValueError:
    """Return the error of a file of which `what` is wrong."""
    return ValueError(f"{file.name}: {what}; move {str(file)!r} away and fetch it again: "
                      "python -m tostoolkit data")
