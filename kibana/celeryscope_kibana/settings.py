"""Settings of the commands that talk to Kibana."""

from pydantic import Field, FilePath, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from celeryscope.service.credentials import Credentials
from celeryscope.service.kibana_views import SPACE_PATTERN


class KibanaSettings(Credentials):
    """The connection to Kibana (``CELERYSCOPE_KIBANA_*``)."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_KIBANA_")

    url: str = Field("http://127.0.0.1:5601", description="Kibana's address, with its base path if it has one.")
    space: str = Field("", pattern=SPACE_PATTERN, description="Id of the space to use; empty is the default one.")
    api_key: SecretStr | None = Field(None, description="API key of Elasticsearch (`encoded`).")
    username: str | None = Field(None, description="User name, when there is no API key.")
    password: SecretStr | None = Field(None, description="Password of the user.")
    ca_file: FilePath | None = Field(None, description="CA certificates (PEM) that sign Kibana's certificate.")
    verify_certs: bool = Field(True, description="Whether the certificate is checked; only tests say no.")
    webhook: SecretStr | None = Field(
        None, description="Address that alerts are posted to, too (needs a Gold licence)."
    )
    slack: SecretStr | None = Field(
        None, description="Incoming webhook of Slack that alerts go to, too (needs a Gold licence)."
    )
    email: SecretStr | None = Field(
        None,
        description="Mail server, sender and recipients that alerts are mailed by, too (needs a Gold licence): "
        "`smtp://user:password@host:587?from=...&to=...,...`, or `smtps://`.",
    )
    timeout: float = Field(60.0, gt=0, description="Seconds until a request is given up.")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")) or "@" in url:
            raise ValueError("must be http(s)://host:port, without a user")
        return url.rstrip("/")
