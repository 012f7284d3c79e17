"""Whether two builds are equal, and hold only what they should.

``python .ci/check_dist.py FOLDER OTHER`` after two builds with one SOURCE_DATE_EPOCH.
"""

import hashlib
import re
import sys
import tarfile
import zipfile
from pathlib import Path

WHEEL = re.compile(
    r"sknet/(_\w+/)?\w+\.py|sknet/py\.typed|"
    r"sknet_classifier-[\w.]+\.dist-info/(METADATA|WHEEL|RECORD|licenses/LICENSE)"
)
SDIST = re.compile(
    r"sknet/((_\w+/)?\w+\.py|py\.typed)|tests/(\w+/)*\w+\.py|"
    r"tests/estimator/data/([\w.-]+/)?[\w-]+\.(md|pickle|skops)|"
    r"docs/([\w.-]+/)*[\w.-]+\.(md|py|rst|svg|png|css|html|txt|js)|"
    r"benchmarks/([\w.-]+/)*[\w.-]+|"
    r"README\.md|LICENSE|pyproject\.toml|PKG-INFO|\.gitignore"
)


def strangers(archive):
    """Names in an archive that have no business there."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            return [name for name in file.namelist() if not WHEEL.fullmatch(name)]
    with tarfile.open(archive) as file:
        names = [member.name.partition("/")[2] for member in file if member.isfile()]
    return [name for name in names if not SDIST.fullmatch(name)]


def main(folder, other):
    """Exit with what is wrong, if anything is."""
    archives = sorted(Path(folder).iterdir())
    assert [a.suffix for a in archives] == [".whl", ".gz"], archives
    for archive in archives:
        found = strangers(archive)
        assert not found, f"{archive.name} holds {found}"
        digests = {
            hashlib.sha256((Path(f) / archive.name).read_bytes()).hexdigest()
            for f in (folder, other)
        }
        assert len(digests) == 1, f"two builds of {archive.name} differ"
        print(archive.name, *digests)


if __name__ == "__main__":
    main(*sys.argv[1:])
