"""A certificate authority for the length of a test run, made by openssl."""

import ssl
import subprocess
from pathlib import Path


class Authority:
    """Signs certificates; ``file`` is what its clients trust."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = str(folder / "ca.pem")
        self.key = str(folder / "ca.key")
        request(self.key, self.file, "Tests", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign")

    def sign(self, name: str) -> str:
        """Return a file with a certificate for ``name``, as in ``IP:127.0.0.1``, and its key."""
        path = self.folder / name.replace(":", "_")
        key, certificate = f"{path}.key", f"{path}.pem"
        extensions = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature")
        request(key, certificate, "Test", f"subjectAltName={name}", *extensions, issuer=(self.file, self.key))
        both = Path(f"{path}.both")
        both.write_text(Path(certificate).read_text() + Path(key).read_text())
        return str(both)

    def server(self, name: str, *, asks_for_one: bool = False) -> ssl.SSLContext:
        """Return the context of a server that is ``name``, and lets only clients in that have a certificate of ours."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.sign(name))
        if asks_for_one:
            context.load_verify_locations(self.file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def request(key: str, certificate: str, subject: str, *extensions: str, issuer: tuple[str, str] | None = None) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={subject}", "-keyout", key, "-out", certificate]
    command += [word for extension in extensions for word in ("-addext", extension)]
    command += ["-CA", issuer[0], "-CAkey", issuer[1]] if issuer else []
    subprocess.run(command, check=True, capture_output=True)
