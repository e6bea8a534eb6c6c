"""The default codec passes the suite that every codec must pass; a sloppy codec does not."""

import json

import pytest

from compdb import codecs
from compdb.codecs import base
from compdb.testing.codecs import EXAMPLES, REFUSED, CodecConformance, difference
from compdb.testing.values import examples

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(300 + examples() // 4)]


class TestNumpyCodec(CodecConformance):
    codec = codecs.by_name("numpy")


class Sloppy:
    """A codec as one writes it first."""

    id = 200
    name = "sloppy"

    def encode(self, value):
        return [json.dumps(value).encode()]

    def decode(self, payload):
        return json.loads(bytes(payload))

    def describe(self, head):
        return None


@pytest.fixture
def sloppy():
    codecs.register(Sloppy())
    yield Sloppy()
    del base._CODECS[Sloppy.id]


def test_a_codec_that_turns_tuples_into_lists_fails_the_suite(sloppy):
    class Suite(CodecConformance):
        codec = sloppy
        examples = {"plain": [1, "a"], "tuple": (1, 2)}

    with pytest.raises(AssertionError, match=r"tuple.*became.*list"):
        Suite().test_examples_come_back_exactly()


def test_a_codec_that_takes_everything_fails_the_suite(sloppy):
    class Suite(CodecConformance):
        codec = sloppy
        refused = {"subclass": REFUSED["OrderedDict"]}

    with pytest.raises(AssertionError, match="subclass was not refused"):
        Suite().test_what_would_change_is_refused()


def test_a_limited_codec_passes_for_what_it_takes(sloppy):
    class Suite(CodecConformance):
        codec = sloppy
        examples = {"plain": [1, "a", None, {"b": [0.5]}]}

    suite = Suite()
    suite.test_examples_come_back_exactly()
    suite.test_decoding_depends_on_nothing_but_the_bytes()
    suite.test_damaged_bytes_raise_blob_errors_only()
    suite.test_describing_never_raises()


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"strided", "structured, hard"}))  # views
def test_difference_sees_no_difference_between_a_value_and_itself(name):
    assert difference(EXAMPLES[name], codecs.decode(codecs.encode(EXAMPLES[name]))) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [(0.0, -0.0), (1, True), (1, 1.0), ([1], (1,)), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({1}, {1.0}), ("a", b"a")],
)
def test_difference_sees_what_equality_does_not(before, after):
    assert difference(before, after)
    assert difference([before], [after])
    assert difference({"k": before}, {"k": after})
