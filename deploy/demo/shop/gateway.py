"""The client of the payment provider: it turns the provider's errors into the shop's."""

import hashlib

_NO_CONNECTION = "card-unreachable"
_DECLINED = "card-declined"


class PaymentError(Exception):
    """The money was not taken."""


def charge(card: str, cents: int) -> str:
    """The provider's receipt. Raises PaymentError, with what the provider said as its cause."""
    try:
        return _post(card, cents)
    except ConnectionError as error:
        raise PaymentError("the payment provider cannot be reached") from error
    except PermissionError as error:
        raise PaymentError(f"the card was declined for {cents} cents") from error


def _post(card: str, cents: int) -> str:
    if card == _NO_CONNECTION:
        raise ConnectionError("connection to pay.example:443 refused")
    if card == _DECLINED:
        raise PermissionError("402 insufficient funds")
    return hashlib.sha256(f"{card}:{cents}".encode()).hexdigest()[:12]
