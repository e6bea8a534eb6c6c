"""Blobs written by every format so far, committed in golden/, decoded for ever.

`python tests/codecs/test_golden.py` writes the files that are missing; one that is there is never written again.
"""

from pathlib import Path

import pytest

from compdb import codecs
from compdb.testing.codecs import EXAMPLES, difference

GOLDEN = Path(__file__).with_name("golden")
LARGE = {"many keys", "text", "bytes"}
"""Examples of half a megabyte: not kept."""
NAMES = sorted(EXAMPLES.keys() - LARGE)


def path_of(name, version=1):
    return GOLDEN / f"v{version}" / (name.replace(" ", "_").replace(",", "") + ".blob")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("version", [1])
def test_a_blob_of_this_version_is_still_decoded(name, version):
    found = difference(EXAMPLES[name], codecs.decode(path_of(name, version).read_bytes()), name)
    assert found is None, found


def test_a_compressed_blob_is_still_decoded():
    blob = (GOLDEN / "v1" / "nested_arrays.zstd.blob").read_bytes()
    assert blob[6] == 1
    assert difference(EXAMPLES["nested arrays"], codecs.decode(blob)) is None


def test_what_the_package_wrote_is_still_decoded():
    read = codecs.decode_msgpack_numpy((GOLDEN / "v1" / "nested_arrays.msgpack_numpy").read_bytes())
    value = EXAMPLES["nested arrays"]
    value = {"trace": value["trace"], "spikes": [value["spikes"][0], list(value["spikes"][1])]}
    assert difference(value, read) is None


@pytest.mark.parametrize("name", NAMES)
def test_version_1_is_still_what_is_written(name):
    """If the format has to change, give it a new version, and leave the files of this one."""
    assert codecs.encode(EXAMPLES[name]) == path_of(name).read_bytes()


def test_every_file_is_decoded_by_some_test():
    there = {path.name for path in (GOLDEN / "v1").iterdir()}
    assert there == {path_of(name).name for name in NAMES} | {"nested_arrays.zstd.blob", "nested_arrays.msgpack_numpy"}


if __name__ == "__main__":
    for name in NAMES:
        if not path_of(name).exists():
            path_of(name).write_bytes(codecs.encode(EXAMPLES[name]))
