"""The columnar page parser against botocore's own: the same rows, the same rest, the same errors, for any page."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from fsync.storage.s3_columns import COLUMNS, Columns, columns_of_body, columns_of_contents, take_columns
from tests.strategies import hostile_components

NS = "http://s3.amazonaws.com/doc/2006-03-01/"
MD5 = "d41d8cd98f00b204e9800998ecf8427e"

AMAZON = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;" + MD5 + "&quot;"
    "</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
PLAIN = AMAZON.replace("<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>", "")
OWNED = PLAIN.replace("<StorageClass>", "<Owner><ID>me</ID><DisplayName>m</DisplayName></Owner><StorageClass>")
SEAWEED = (
    "<Contents><Key>{key}</Key><ETag>&#34;" + MD5 + "-2&#34;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass>"
    "<LastModified>2026-01-02T03:04:05Z</LastModified></Contents>"
)
BARE = "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05Z</LastModified><Size>7</Size></Contents>"


def a_page(*rows: str, rest: str = "<EncodingType>url</EncodingType>", start: str = '<?xml version="1.0"?>\n') -> bytes:
    """Return a ListObjectsV2 answer; ``rest`` comes behind its rows."""
    inside = "<Name>b</Name><IsTruncated>true</IsTruncated>" + "".join(rows) + rest
    token = "<NextContinuationToken>Contents+1&amp;</NextContinuationToken>"
    return f'{start}<ListBucketResult xmlns="{NS}">{inside}{token}</ListBucketResult>'.encode()


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


@functools.cache
def client(*, columnar: bool) -> tuple[Any, list[bytes]]:
    """Return a client whose answers are the body in the list beside it, whatever it asks."""
    session = botocore.session.Session()
    if columnar:
        session.register("before-parse.*.ListObjectsV2", take_columns)
    made = session.create_client(
        "s3", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    body = [b""]
    made.meta.events.register(
        "before-send.s3.ListObjectsV2", lambda request, **_: AWSResponse(request.url, 200, {}, _Raw(body[0]))
    )
    return made, body


#: how botocore, or the turn into columns, ends on a page that it cannot read
_BAD = (ClientError, ResponseParserError, KeyError, ValueError, OverflowError, TypeError)


@dataclass
class Outcome:
    """What a client makes of a page."""

    columns: Columns | None = None
    rest: dict[str, Any] | None = None
    error: type[Exception] | None = None
    taken: bool = False


def read(page: bytes, *, columnar: bool) -> Outcome:
    made, body = client(columnar=columnar)
    body[0] = page
    try:
        answer = made.list_objects_v2(Bucket="b")
        taken = answer.pop(COLUMNS, None)
        contents = answer.pop("Contents", [])
        assert not (taken and contents)
        return Outcome(taken or columns_of_contents(contents), answer, None, taken is not None)
    except _BAD as error:
        return Outcome(error=type(error))


def same(page: bytes) -> Outcome:
    """Assert that both parsers make the same of a page; return what the columnar one makes of it."""
    slow, fast = read(page, columnar=False), read(page, columnar=True)
    assert not slow.taken
    assert (fast.columns, fast.rest, fast.error) == (slow.columns, slow.rest, slow.error)
    return fast


# pages as servers write them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [AMAZON, PLAIN, OWNED, SEAWEED, BARE], ids=["amazon", "plain", "owned", "weed", "bare"])
@pytest.mark.parametrize("encoded", [True, False])
def test_usual_pages_are_taken(row: str, encoded: bool) -> None:
    names = ["a", "a b", "a//b", "dir/", "50%", "a+b", "<x>", "a&b", "\u00e9", "\U0001f600", ""]
    rows = [row.format(key=quote_plus(name, safe="/*") if encoded else escape(name)) for name in names]
    found = same(a_page(*rows, rest="<EncodingType>url</EncodingType>" if encoded else ""))
    assert found.taken
    assert found.columns is not None
    assert found.columns.key == [name.encode() for name in names]
    assert found.columns.size.to_pylist() == [7] * len(names)
    assert found.rest is not None
    assert (found.rest["IsTruncated"], found.rest["NextContinuationToken"]) == (True, "Contents+1&")


def test_rows_of_several_forms_are_taken_together() -> None:
    found = same(a_page(*(row.format(key="k") for row in (PLAIN, AMAZON, OWNED, PLAIN))))
    assert found.taken
    assert found.columns is not None
    assert found.columns.key == [b"k"] * 4


def test_control_characters_come_out_of_their_encoding() -> None:
    name = "".join(map(chr, range(1, 0x30)))
    found = same(a_page(AMAZON.format(key=quote(name))))
    assert found.taken
    assert found.columns is not None
    assert found.columns.key == [name.encode()]


def test_common_prefixes_stay_in_the_answer() -> None:
    folder = "<CommonPrefixes><Prefix>a%2Fb/</Prefix></CommonPrefixes>"
    found = same(a_page(AMAZON.format(key="a"), folder, AMAZON.format(key="b"), folder))
    assert found.taken
    assert found.rest is not None
    assert found.rest["CommonPrefixes"] == [{"Prefix": "a/b/"}] * 2


UNUSUAL = {
    "nothing in it": a_page(),
    "no key": a_page(PLAIN.format(key="a"), PLAIN.format(key="b").replace("Key>", "Name>")),
    "no ETag in one row": a_page(PLAIN.format(key="a"), BARE.format(key="b")),
    "an ETag in one row": a_page(BARE.format(key="b"), PLAIN.format(key="a")),
    "other order in one row": a_page(PLAIN.format(key="a"), SEAWEED.format(key="b")),
    "two sizes": a_page(PLAIN.format(key="a").replace("<Size>", "<Size>3</Size><Size>")),
    "comment": a_page("<!--" + PLAIN.format(key="a") + "-->", PLAIN.format(key="b")),
    "marked text": a_page(PLAIN.format(key="<![CDATA[</Key><Key>a]]>")),
    "declared entity": a_page(PLAIN.format(key="&x;"), start='<!DOCTYPE r [<!ENTITY x "y">]>'),
    "unknown entity": a_page(PLAIN.format(key="&x;")),
    "lonely ampersand": a_page(PLAIN.format(key="a&b")),
    "refused reference": a_page(PLAIN.format(key="&#1;")),
    "surrogate": a_page(PLAIN.format(key="&#xd800;")),
    "beyond unicode": a_page(PLAIN.format(key="&#x110000;")),
    "raw control": a_page(PLAIN.format(key="\x01")),
    "carriage return": a_page(PLAIN.format(key="a\r\nb")),
    "not UTF-8": a_page(PLAIN.format(key="a%FFb")),
    "not UTF-8, raw": a_page(PLAIN.format(key="QQ"), rest="").replace(b"QQ", b"\xff"),
    "cut sequence over two rows": a_page(PLAIN.format(key="%C3"), PLAIN.format(key="%A9")),
    "closed at once": a_page(PLAIN.replace("<Key>{key}</Key>", "<Key/>")),
    "blank size": a_page(PLAIN.format(key="a").replace("<Size>7", "<Size> 7 ")),
    "negative size": a_page(PLAIN.format(key="a").replace("<Size>7", "<Size>-7")),
    "odd ETag": a_page(PLAIN.format(key="a").replace(MD5, "W/&quot;x y")),
    "no quotes": a_page(PLAIN.format(key="a").replace("&quot;", "")),
    "another time": a_page(PLAIN.format(key="a").replace("2026-01-02T03:04:05.000Z", "Fri, 02 Jan 2026 03:04:05 GMT")),
    "nanoseconds": a_page(PLAIN.format(key="a").replace(".000Z", ".123456789Z")),
    "prefixed": b'<a:ListBucketResult xmlns:a="%b"><a:Contents><a:Key>k</a:Key></a:Contents></a:ListBucketResult>'
    % NS.encode(),
    "attributes": a_page(PLAIN.format(key="a").replace("<Contents>", '<Contents x="y">')),
    "another encoding type": a_page(PLAIN.format(key="a%41"), rest="<EncodingType> url </EncodingType>"),
    "cut in a row": a_page(PLAIN.format(key="a"))[:200],
    "cut behind the rows": a_page(PLAIN.format(key="a"))[:-5],
    "error": b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>later</Message></Error>",
    "error around rows": b"<Error><Code>InternalError</Code>" + PLAIN.format(key="a").encode() + b"</Error>",
    "empty": b"",
}


@pytest.mark.parametrize("page", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_pages_come_out_the_same(page: bytes) -> None:
    same(page)


@pytest.mark.parametrize("name", ["error", "error around rows", "cut in a row", "cut behind the rows"])
def test_an_error_with_status_200_is_an_error(name: str) -> None:
    assert same(UNUSUAL[name]).error is ClientError


# any page ----------------------------------------------------------------------------------------------------------

_TEXTS = (
    hostile_components.map(bytes.decode)
    | st.text(st.characters(codec="utf-8"), max_size=5)
    | st.sampled_from(["a//b", "d/", "/lead", "", "+"])
)
_WRITTEN = {
    "escape": lambda name: escape(name, {'"': "&quot;", "'": "&apos;"}),
    "decimal": lambda name: "".join(f"&#{ord(letter)};" for letter in name),
    "hexadecimal": lambda name: "".join(f"&#x{ord(letter):X};" for letter in name),
    "amazon": lambda name: quote_plus(name, safe="/"),
    "all": lambda name: "".join(f"%{byte:02x}" for byte in name.encode()),
    "raw": lambda name: name,
}
_VALUES: dict[str, st.SearchStrategy[str]] = {
    "Size": st.sampled_from(["0", "7", "007", str(2**40), str(2**63), "-1", "x", "", "0x10"]),
    "LastModified": st.sampled_from(
        ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05+02:00", "2026-01-02", "176732304"]
    ),
    "ETag": st.sampled_from([f"&quot;{MD5}&quot;", f'"{MD5}-3"', f"&#34;{MD5}&#34;", MD5, "&quot;&quot;", ""]),
    "StorageClass": st.sampled_from(["STANDARD", "GLACIER", ""]),
    "ChecksumAlgorithm": st.just("CRC32"),
    "Owner": st.just("<ID>i</ID><DisplayName>&lt;Contents&gt;</DisplayName>"),
    "RestoreStatus": st.just("<IsRestoreInProgress>false</IsRestoreInProgress>"),
}
_USUAL = {"Size": "7", "LastModified": "2026-01-02T03:04:05.000Z", "ETag": f"&quot;{MD5}&quot;"}


@st.composite
def pages(draw: st.DrawFn) -> bytes:
    """Whole answers: mostly what a server would write, with now and then anything else."""
    written = _WRITTEN[draw(st.sampled_from(sorted(_WRITTEN)))]
    extra = draw(st.lists(st.sampled_from(sorted(_VALUES.keys() - _USUAL.keys())), unique=True, max_size=2))
    order = draw(st.permutations(["Key", *_USUAL, *extra]))
    odd = draw(st.booleans())
    between = draw(st.sampled_from(["", "", "\n  "]))
    rows = []
    for name in draw(st.lists(_TEXTS, max_size=5)):
        values = {**_USUAL, "Key": written(name)}
        chosen = [field for field in order if field in values or draw(st.booleans())]
        if odd and draw(st.integers(0, 3)) == 0:
            chosen = draw(st.permutations(chosen))[: draw(st.integers(1, len(chosen)))]
        for field in chosen:
            if field not in values or (odd and field in _VALUES):
                values[field] = draw(_VALUES[field])
        inside = between.join(f"<{field}>{values[field]}</{field}>" for field in chosen)
        rows.append(f"<Contents>{between}{inside}{between}</Contents>")
    rest = draw(st.sampled_from(["", "<EncodingType>url</EncodingType>", "<!-- -->"]))
    page = a_page(*rows, rest=rest)
    return page[: draw(st.integers(0, len(page)))] if odd and draw(st.integers(0, 9)) == 0 else page


@given(pages())
def test_any_page_comes_out_the_same(page: bytes) -> None:
    same(page)


@given(st.lists(_TEXTS, min_size=1, max_size=20))
def test_what_servers_write_is_taken_whatever_the_keys_are(names: list[str]) -> None:
    page = a_page(*(AMAZON.format(key=quote_plus(name, safe="/")) for name in names))
    found = columns_of_body(page)
    assert found is not None
    assert found[0].key == [name.encode() for name in names]
