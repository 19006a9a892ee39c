"""A real broker that also listens with TLS and SASL."""

from pathlib import Path
from typing import Final

from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialUpsertion

from servers import Kafka
from servers.process import LOOPBACK, free_port

USER: Final = "collector"
PASSWORD: Final = "correct horse"

_PROPERTIES: Final = """
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port},SSL://{host}:{tls_port},SASL_SSL://{host}:{sasl_port}
advertised.listeners=PLAINTEXT://{host}:{port},SSL://{host}:{tls_port},SASL_SSL://{host}:{sasl_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server-keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


class SecureKafka(Kafka):
    """Besides its plain port: one for clients with a certificate, one with TLS and a password (PLAIN and SCRAM)."""

    def __init__(self, folder: Path, certificates: Path) -> None:
        super().__init__(folder)
        self.tls_port, self.sasl_port = free_port(), free_port()
        self.certificates = certificates
        pem = [(certificates / name).read_text() for name in ("server.key", "server.pem")]
        (certificates / "server-keystore.pem").write_text("".join(pem))

    def properties(self) -> str:
        """Those of a plain broker; of a key that comes twice, the later counts."""
        return super().properties() + _PROPERTIES.format(
            host=LOOPBACK,
            port=self.port,
            controller_port=self.controller_port,
            tls_port=self.tls_port,
            sasl_port=self.sasl_port,
            folder=self.certificates,
            user=USER,
            password=PASSWORD,
        )

    def add_scram_user(self) -> None:
        """SCRAM's credentials are kept by the brokers, not in their properties."""
        with KafkaAdminClient(bootstrap_servers=self.bootstrap_servers) as admin:
            credential = UserScramCredentialUpsertion(USER, ScramMechanism.SCRAM_SHA_512, PASSWORD)
            admin.alter_user_scram_credentials([credential])

    def with_certificate(self) -> dict[str, str]:
        """Settings of a client that shows its certificate."""
        return {
            "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.tls_port}",
            "CELERYSCOPE_KAFKA_SECURITY_PROTOCOL": "SSL",
            "CELERYSCOPE_KAFKA_SSL_CA_FILE": str(self.certificates / "ca.pem"),
            "CELERYSCOPE_KAFKA_SSL_CERT_FILE": str(self.certificates / "client.pem"),
            "CELERYSCOPE_KAFKA_SSL_KEY_FILE": str(self.certificates / "client.key"),
        }

    def with_password(self, mechanism: str, password: str = PASSWORD) -> dict[str, str]:
        """Settings of a client that gives its password."""
        return {
            "CELERYSCOPE_KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.sasl_port}",
            "CELERYSCOPE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "CELERYSCOPE_KAFKA_SSL_CA_FILE": str(self.certificates / "ca.pem"),
            "CELERYSCOPE_KAFKA_SASL_MECHANISM": mechanism,
            "CELERYSCOPE_KAFKA_SASL_USERNAME": USER,
            "CELERYSCOPE_KAFKA_SASL_PASSWORD": password,
        }
