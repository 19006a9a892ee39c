"""Only hashes are kept, and a file that can't be used is named with what is wrong in it."""

from pathlib import Path

import pytest

from celeryscope.errors import ConfigError, Unauthorized
from celeryscope_collector.tenant_limits import TenantLimits
from celeryscope_collector.tokens import Token, TokenFile, hash_of, line_for, new_token, read_senders

NO_LIMITS = TenantLimits()


def file_with(folder: Path, *entries: str) -> Path:
    path = folder / "tokens.yaml"
    path.write_text("tokens:\n" + "".join(f"- {entry}\n" for entry in entries))
    return path


def entry(token: str, tenant: str = "shop") -> str:
    return f"{{tenant: {tenant}, sha256: {hash_of(token)}}}"


def test_a_token_brings_its_tenant(tmp_path: Path) -> None:
    one, two = new_token(), new_token()
    tokens = TokenFile(file_with(tmp_path, entry(one), entry(two, "bank")), NO_LIMITS)
    assert [tokens.tenant(f"Bearer {token}") for token in (one, two)] == ["shop", "bank"]
    assert tokens.tenants == ["bank", "shop"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer unknown"])
def test_everything_else_is_unauthorized(tmp_path: Path, header: str | None) -> None:
    tokens = TokenFile(file_with(tmp_path, entry(new_token())), NO_LIMITS)
    with pytest.raises(Unauthorized):
        tokens.tenant(header)


@pytest.mark.parametrize("tenant", ["shop", "007", "no", "1e5"])
def test_the_line_for_a_token_is_read_as_it_was_meant(tmp_path: Path, tenant: str) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(f"tokens:\n{line_for(tenant, 'secret')}\n")
    assert read_senders(path, NO_LIMITS).tokens == [Token(tenant, hash_of("secret"))]


def test_the_hash_itself_is_no_token(tmp_path: Path) -> None:
    token = new_token()
    tokens = TokenFile(file_with(tmp_path, entry(token)), NO_LIMITS)
    with pytest.raises(Unauthorized):
        tokens.tenant(f"Bearer {hash_of(token)}")


def test_several_tokens_of_a_tenant_are_valid_at_once_and_the_file_says_what_it_may_send(tmp_path: Path) -> None:
    old, new, other = new_token(), new_token(), new_token()
    path = file_with(tmp_path, entry(old), entry(new), entry(other, "bank"))
    with path.open("a") as file:
        file.write("limits:\n  shop: {records_per_second: 5}\n")
    default = TenantLimits(records_per_second=100, bytes_per_second=200)
    tokens = TokenFile(path, default)
    assert {tokens.tenant(f"Bearer {token}") for token in (old, new)} == {"shop"}
    assert tokens.limits("shop") == TenantLimits(records_per_second=5, bytes_per_second=200)
    assert tokens.limits("bank") == default


def test_a_removed_file_leaves_the_last_tokens_valid(tmp_path: Path) -> None:
    token = new_token()
    path = file_with(tmp_path, entry(token))
    tokens = TokenFile(path, NO_LIMITS)
    path.unlink()
    assert tokens.tenant(f"Bearer {token}") == "shop"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("tokens: [", "not valid YAML"),
        ("tokens: 2026-99-99", "not valid YAML"),
        ("tokens: " + "[" * 5000, "not valid YAML"),
        ("", "needs a list"),
        ("tokens: shop", "needs a list"),
        ("tokens: [{tenant: shop}]", "entry 1"),
        ("tokens: [{tenant: shop, sha256: secret}]", "64 hexadecimal"),
        (f"tokens: [{{tenant: Shop-1, sha256: {'a' * 64}}}]", "lower-case"),
        ("tokens: []\nsecrets: {}", "nothing else"),
        ("tokens: []\nlimits: {shop: {records_per_second: 5}}", "limits of shop, who has no token"),
        ("tokens: []\nlimits: 5", "must be a map"),
        ("tokens: []\nlimits: {shop: {records: 5}}", "nothing else"),
        ("tokens: []\nlimits: {shop: {records_per_second: 0}}", "above 0"),
        ("tokens: []\nlimits: {shop: {records_per_second: .inf}}", "above 0"),
        ("tokens: []\nlimits: {shop: {bytes_per_second: yes}}", "above 0"),
        (f"tokens: [{{tenant: 007, sha256: {'a' * 64}}}]", "in quotes"),
    ],
)
def test_a_file_that_can_not_be_used_is_a_config_error_without_its_content(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_senders(path, NO_LIMITS)
    assert "secret" not in str(caught.value)
