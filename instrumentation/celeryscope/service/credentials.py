"""How a service makes itself known to Elasticsearch or Kibana: an API key, or a user with a password."""

from typing import Self

from pydantic import SecretStr, field_validator, model_validator

from celeryscope.service.settings import ServiceSettings


class Credentials(ServiceSettings):
    """Base of groups of settings that have the fields ``api_key``, ``username`` and ``password``: checks them."""

    @field_validator("api_key", "password", check_fields=False)
    @classmethod
    def _fits_a_header(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret and not secret.get_secret_value().isascii():
            raise ValueError("must be plain ASCII")
        return secret

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        given = self.model_dump(include={"username", "password"})
        if bool(given["username"]) != bool(given["password"]):
            raise ValueError("username and password are given together")
        return self
