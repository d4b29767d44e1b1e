"""Files of published data: found beside the project or fetched, and checked.

A file is looked for in a folder given as `path`, then in the folder that the environment variable
``TOSTOOLKIT_DATA`` names, then in ``../shared/energy-data`` and its like beside the working
directory, and fetched from its public repository at a pinned commit otherwise. Nothing is taken on
trust: files are checked by their SHA-256.
"""

import hashlib
import os
import re
import tarfile
from pathlib import Path


def raw_url(repository, commit, path):
    """Return the address of one file of a GitHub repository at a commit."""
    return f"https://raw.githubusercontent.com/{repository}/{commit}/{path}"


def locate(path, pattern, name, url, sha256=None):
    """Return the local file that matches `pattern`, fetching it where there is none.

    Parameters
    ----------
    path : str or Path, or None
        A file, or a folder that holds it at any depth; None searches and fetches.
    pattern : str
        Of the file's name, or of the end of its path.
    name : str
        The loader, for messages.
    url : str
    sha256 : str, optional
        What the file must hash to.

    Raises
    ------
    FileNotFoundError
        There is no network and no local copy; the message says where to put one.
    ValueError
        The file is not the published one, or is damaged.
    """
    found = find_local(path, pattern, url) or fetch(url, name, pattern, sha256)
    if sha256:
        check_file(found, sha256, url)
    return found


def check_file(file, sha256, url):
    """Raise ValueError unless the file is the one that was published."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != sha256:
        raise ValueError(
            f"{file.name}: SHA-256 {digest[:12]} instead of {sha256[:12]}: it is damaged, or not "
            f"the file published at {url}; delete it and fetch it again")


def find_local(path, pattern, url):
    """Return the local file that matches `pattern`; None where there is none to be found."""
    if path is not None:
        path = Path(path)
        if path.is_file():
            return path
        found = sorted(path.rglob(pattern)) if path.is_dir() else []
        if not found:
            raise FileNotFoundError(
                f"path: no {pattern} in {str(path)!r}; download {url} into it, or leave path out "
                "to have it fetched")
        return found[0]
    for folder in local_folders():
        for found in sorted(folder.rglob(pattern)):
            return found
    return None


def local_folders():
    """Folders in which a local copy may lie, the user's own first."""
    own = os.environ.get("TOSTOOLKIT_DATA")
    here = Path.cwd()
    candidates = [Path(own)] if own else []
    candidates += [base / "shared" / "energy-data" for base in (here, *here.parents[:3])]
    return [folder for folder in candidates if folder.is_dir()]


def fetch(url, name, pattern, sha256=None):
    """Return the local copy, in the user's cache, of the file at an address."""
    import pooch
    import requests

    folder = pooch.os_cache("tostoolkit")
    file = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{Path(pattern).name.replace('*', '')}"
    try:
        return Path(pooch.retrieve(url, known_hash=sha256, fname=file, path=folder))
    except (requests.exceptions.RequestException, OSError) as error:
        raise FileNotFoundError(
            f"{name}: no local copy, and it could not be fetched ({type(error).__name__}). "
            f"Download {url} elsewhere and pass its folder: tos.datasets.{name}(path='folder'), "
            "or name the folder in the environment variable TOSTOOLKIT_DATA") from None


def read_archive(archive, prefix, pattern):
    """Return path -> bytes of the files under `prefix` whose paths match `pattern`."""
    try:
        with tarfile.open(archive) as tar:
            files = {
                member.name.removeprefix(prefix): tar.extractfile(member).read()
                for member in tar
                if member.isfile() and member.name.startswith(prefix)
                and re.fullmatch(pattern, member.name.removeprefix(prefix))
            }
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(
            f"{archive.name}: the archive is damaged ({error}); delete it and fetch it again"
        ) from None
    return files


def check_content(files, expected, archive):
    """Raise unless the files are those that were published."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode())
    if digest.hexdigest() != expected:
        raise ValueError(
            f"{archive.name}: its {len(files)} files are not those published at the pinned commit "
            f"({digest.hexdigest()[:12]} instead of {expected[:12]}); delete it and fetch it again")
