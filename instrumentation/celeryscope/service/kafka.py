"""How collector, indexer and commands reach Kafka."""

from typing import Any, Literal, Self

from pydantic import Field, FilePath, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from celeryscope.service.settings import ServiceSettings


class KafkaSettings(ServiceSettings):
    """The connection to Kafka (``CELERYSCOPE_KAFKA_*``)."""

    model_config = SettingsConfigDict(env_prefix="CELERYSCOPE_KAFKA_")

    bootstrap_servers: str = Field("127.0.0.1:9092", description="Brokers to start from, `host:port`, comma-separated.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    ssl_ca_file: FilePath | None = Field(None, description="CA certificates (PEM) that sign the brokers' certificates.")
    ssl_cert_file: FilePath | None = Field(None, description="Client certificate (PEM), when the brokers ask for one.")
    ssl_key_file: FilePath | None = Field(None, description="Key of the client certificate (PEM).")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism, with the SASL protocols."
    )
    sasl_username: str | None = Field(None, description="SASL user name.")
    sasl_password: SecretStr | None = Field(None, description="SASL password.")

    @field_validator("bootstrap_servers")
    @classmethod
    def _has_ports(cls, servers: str) -> str:
        for server in servers.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError("each broker must be host:port")
        return servers

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_mechanism and self.sasl_username and self.sasl_password
        ):
            raise ValueError(f"{self.security_protocol} needs sasl_mechanism, sasl_username and sasl_password")
        return self

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments that every kafka-python client takes."""
        options: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",")],
            "security_protocol": self.security_protocol,
            "ssl_cafile": self.ssl_ca_file and str(self.ssl_ca_file),
            "ssl_certfile": self.ssl_cert_file and str(self.ssl_cert_file),
            "ssl_keyfile": self.ssl_key_file and str(self.ssl_key_file),
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password and self.sasl_password.get_secret_value(),
        }
        return {name: value for name, value in options.items() if value is not None}
