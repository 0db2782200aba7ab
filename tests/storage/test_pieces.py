"""Objects in pieces: parts in any order, cut-off assembles, copies at the server, tails; on every kind that does it so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest
from strongroom.errors import Conflict, NotFound
from strongroom.storage.base import CannotCompose, Multipart, Part, ServerSideCopy, Slice
from strongroom.storage.pieces import MARK, owner, piece_number

from tests.storage.clouds import Pieced, gcs_provider, opendal_provider
from tests.storage.objects import MIB, new_key, prefix_of, put, put_parts, read

KINDS = ["gcs", "webdav", "ftp"]


@pytest.fixture(params=KINDS)
def provider(request: pytest.FixtureRequest) -> Pieced:
    server = request.getfixturevalue(f"{request.param}_server")
    return cast(Pieced, gcs_provider(server) if request.param == "gcs" else opendal_provider(server))


def names(provider: Pieced, key: str) -> list[str]:
    return [each.key for each in provider.list(prefix_of(key))]


def left_over(provider: Any, key: str) -> list[int]:
    """Return the numbers of the pieces that lie beside an object, the mark (0) included."""
    return sorted(number for name in provider._names_of(key) if (number := piece_number(name)) is not None)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.00001", 1), ("a.00000", 0), ("a", None), ("a.tail", None), ("a.join1.00001", None), ("a.٠٠٠٠١", None)]
)
def test_names_of_pieces(name: str, expected: int | None) -> None:
    assert (owner(name), piece_number(name)) == ("a", expected)


def test_parts_in_any_order(provider: Pieced) -> None:
    key = new_key()
    session = provider.begin_multipart(key)
    second = provider.put_part(key, session, 2, bytearray(b"second"))
    provider.put_part(key, session, 7, b"left out")
    provider.put_part(key, session, 1, b"the first try")
    first = provider.put_part(key, session, 1, memoryview(b"first "))
    assert names(provider, key) == [key]
    with pytest.raises(NotFound):
        provider.head(key)
    meta = provider.assemble(key, session, [second, first])
    assert (meta.key, meta.size_bytes, provider.head(key).tag) == (key, 12, meta.tag)
    assert read(provider, key) == b"first second"
    assert [(each.key, each.size_bytes) for each in provider.list(prefix_of(key))] == [(key, 12)]
    provider.delete([key])
    assert names(provider, key) == []


def test_a_session_that_is_over(provider: Pieced) -> None:
    key = new_key()
    session = provider.begin_multipart(key)
    parts = put_parts(provider, key, session, b"a")
    provider.assemble(key, session, parts)
    for act in (lambda: provider.put_part(key, session, 2, b"b"), lambda: provider.assemble(key, session, parts)):
        with pytest.raises(NotFound):
            act()
    provider.discard(key, session)
    assert read(provider, key) == b"a"


def test_another_session_is_none(provider: Pieced) -> None:
    key = new_key()
    provider.begin_multipart(key)
    with pytest.raises(NotFound):
        provider.put_part(key, "0" * 32, 1, b"a")


def test_discard(provider: Pieced) -> None:
    key = new_key()
    session = provider.begin_multipart(key)
    put_parts(provider, key, session, b"a", b"b")
    for _ in range(2):
        provider.discard(key, session)
    assert names(provider, key) == []
    with pytest.raises(NotFound):
        provider.put_part(key, session, 1, b"a")


@pytest.mark.parametrize("unfinished", ["mark", "parts"])
def test_delete_finds_what_is_unfinished(provider: Pieced, unfinished: str) -> None:
    key, other = new_key(), new_key()
    put(provider, other, b"x")
    session = provider.begin_multipart(key)
    if unfinished == "parts":
        provider.put_part(key, session, 3, b"a")
    provider.delete([key])
    assert names(provider, key) == []
    assert names(provider, other) == [other]
    with pytest.raises(NotFound):
        provider.assemble(key, session, [])


@pytest.mark.parametrize(
    "wrong", [[Part(1, 1), Part(3, 1)], [Part(1, 2)], [Part(1, 1), Part(1, 1)]], ids=["not there", "another size", "twice"]
)
def test_parts_that_do_not_fit(provider: Pieced, wrong: list[Part]) -> None:
    key = new_key()
    session = provider.begin_multipart(key)
    parts = put_parts(provider, key, session, b"a", b"b")
    with pytest.raises(Conflict):
        provider.assemble(key, session, wrong)
    with pytest.raises(NotFound):
        provider.head(key)
    assert provider.assemble(key, session, parts).size_bytes == 2


def test_nothing_at_all(provider: Pieced) -> None:
    key = new_key()
    session = provider.begin_multipart(key)
    parts = put_parts(provider, key, session, b"")
    assert provider.assemble(key, session, parts).size_bytes == 0
    assert read(provider, key) == b""
    assert [each.size_bytes for each in provider.list(prefix_of(key))] == [0]


class CutOffError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("when", range(6))
def test_an_assemble_that_is_cut_off(provider: Any, monkeypatch: pytest.MonkeyPatch, when: int) -> None:  # noqa: C901 - one story
    """At each step that changes something: it can be called again, and meanwhile nothing is half there."""
    key = new_key()
    session = provider.begin_multipart(key)
    contents = [b"%02d" % number for number in range(40)]
    parts = put_parts(provider, key, session, *contents)
    provider.put_part(key, session, 50, b"left out")
    steps = 0

    def breaking(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            if steps >= when:
                raise CutOffError
            steps += 1
            if args and isinstance(args[0], Iterable) and not isinstance(args[0], str):
                args = (list(args[0])[: max(1, when)], *args[1:])  # some of what was to be removed
            return real(*args, **kwargs)

        return step

    with monkeypatch.context() as patch:
        for name in ("put", "_composed", "_remove"):
            if hasattr(provider, name):
                patch.setattr(provider, name, breaking(getattr(provider, name)))
        with pytest.raises(CutOffError) if when < 3 else _either():
            provider.assemble(key, session, parts)
    try:
        assert read(provider, key) == b"".join(contents)
    except NotFound:
        assert when < 4
    try:
        meta = provider.assemble(key, session, parts)
    except NotFound:
        meta = provider.head(key)  # the first call went through
    assert meta.size_bytes == 80
    assert read(provider, key) == b"".join(contents)
    assert MARK not in left_over(provider, key)
    provider.delete([key])
    assert names(provider, key) == []


class _either:  # noqa: N801 - reads like pytest.raises
    """The cut may come after the last step."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is CutOffError


def test_many_parts(provider: Pieced) -> None:
    """More than one level of composites, none of which stays."""
    key = new_key()
    session = provider.begin_multipart(key)
    contents = [b"%03d" % number for number in range(70)]
    meta = provider.assemble(key, session, put_parts(provider, key, session, *contents))
    assert (meta.size_bytes, read(provider, key)) == (210, b"".join(contents))
    assert [(each.key, each.size_bytes) for each in provider.list(prefix_of(key))] == [(key, 210)]
    provider.delete([key])
    assert names(provider, key) == []


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_numbers_that_no_part_has(provider: Pieced, number: int) -> None:
    key = new_key()
    session = provider.begin_multipart(key)
    with pytest.raises(Conflict):
        provider.put_part(key, session, number, b"a")


def test_tails(provider: Pieced) -> None:
    """What is kept beside an object while it has too few bytes for a part goes with it, or alone, and outlives an assemble."""
    key = new_key()
    tail = f"{key}.tail"
    session = provider.begin_multipart(key)
    put(provider, tail, b"abc")
    put(provider, tail, b"abcdef")
    assert read(provider, tail) == b"abcdef"
    assert names(provider, key) == [key]
    provider.assemble(key, session, put_parts(provider, key, session, b"x"))
    assert (read(provider, key), read(provider, tail)) == (b"x", b"abcdef")
    provider.delete([tail])
    assert read(provider, key) == b"x"
    put(provider, tail, b"abc")
    provider.delete([key, tail])
    assert names(provider, key) == []


def test_copies_at_the_server(provider: Any) -> None:
    if not isinstance(provider, ServerSideCopy):
        assert not provider._operator.capability().copy
        return
    key, copy, joined = new_key(), new_key(), new_key()
    put(provider, key, b"x" * 8 * MIB, b"end")
    size = 8 * MIB + 3
    assert provider.compose(copy, [Slice(key, 0, size)]).size_bytes == size
    assert read(provider, copy) == b"x" * 8 * MIB + b"end"
    assert provider.compose(joined, [Slice(key, 0, size), Slice(copy, 0, size), Slice(key, 0, size)]).size_bytes == 3 * size
    provider.delete([key, copy])
    assert read(provider, joined) == (b"x" * 8 * MIB + b"end") * 3
    assert names(provider, joined) == [joined]


def test_copies_that_cannot_be(provider: Any) -> None:
    if not isinstance(provider, ServerSideCopy):
        return
    key, target = new_key(), new_key()
    put(provider, key, b"abcdef")
    for wrong in ([Slice(key, 1, 5)], [Slice(key, 0, 5)], [Slice(key, 0, 7)], [Slice(key, 6, 1)]):
        with pytest.raises(CannotCompose):
            provider.compose(target, wrong)
    with pytest.raises(NotFound):
        provider.compose(target, [Slice(key, 0, 6), Slice(new_key(), 0, 1)])
    with pytest.raises(NotFound):
        provider.head(target)
    assert names(provider, target) == []


def test_all_of_them_take_parts(provider: Pieced) -> None:
    assert isinstance(provider, Multipart)
    limits = provider.part_limits
    assert 0 < limits.min_bytes <= MIB < limits.max_bytes
    assert limits.max_count == 10_000
