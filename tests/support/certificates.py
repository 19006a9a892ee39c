"""Certificates for tests of TLS, made with openssl."""

import subprocess
from pathlib import Path

_SCRIPT = """
set -e
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2
for name in server client; do
  openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
  printf 'subjectAltName=IP:127.0.0.1,DNS:'$name > $name.ext
  openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -out $name.pem -days 2 -extfile $name.ext
done
"""


def make_certificates(folder: Path) -> Path:
    """``ca.pem``, and ``server`` and ``client`` as .pem and .key, for 127.0.0.1 and their names; returns the folder."""
    subprocess.run(["bash", "-c", _SCRIPT], cwd=folder, check=True, capture_output=True)
    return folder
