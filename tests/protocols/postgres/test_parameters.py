"""What plugins are told of a Bind's values."""

import pytest

from gatepost.errors import ClientFault, FaultCode
from gatepost.values import Kind, Scalar
from gatepost_postgres import types
from gatepost_postgres.parameters import decode

PAN = "4111111111111111"


def test_values_by_type_and_format() -> None:
    values = [PAN.encode(), int(PAN).to_bytes(8), None, b"{1,2}"]
    assert decode((0, 1, 0, 0), values, (25, 20, 25, 1007)) == (
        (Scalar(Kind.TEXT, PAN),),
        (Scalar(Kind.INTEGER, PAN, 8),),
        None,
        (Scalar(Kind.INTEGER, "1", 4), Scalar(Kind.INTEGER, "2", 4)),
    )


def test_types_that_are_not_known() -> None:
    assert decode((), [b"1", b"2"], ()) == ((Scalar(Kind.TEXT, "1"),), (Scalar(Kind.TEXT, "2"),))
    (found,) = decode((1,), [int(PAN).to_bytes(8)], (0,))
    assert found is not None
    assert Scalar(Kind.INTEGER, PAN, 8) in found


def test_more_types_than_values() -> None:
    assert decode((), [], (25,)) == ()


@pytest.mark.parametrize(
    ("formats", "values", "oids"),
    [
        ((1,), [b"\0"], (20,)),
        ((0,), [b"\xff"], (25,)),
        ((2,), [b"a"], (25,)),
        ((0, 1), [b"a", b"b", b"c"], ()),
    ],
)
def test_malformed_values_are_the_clients_fault(
    formats: tuple[int, ...], values: list[bytes], oids: tuple[int, ...]
) -> None:
    with pytest.raises(ClientFault):
        decode(formats, values, oids)


def test_too_many_values_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "MAX_SCALARS", 3)
    with pytest.raises(ClientFault) as raised:
        decode((), [b"{1,2}", b"{3,4}"], (1007, 1007))
    assert raised.value.code is FaultCode.TOO_LARGE
