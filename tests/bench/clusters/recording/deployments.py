"""Where applications, their libraries and Python's own are found on machines that people really use."""

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Deployment:
    """``root`` of the application, ``site`` of libraries, ``standard`` of Python's own, and its minor version."""

    root: str
    site: str
    standard: str
    minor: int = 11
    celery: str = ""
    """Another release of Celery than the one here: its lines stand elsewhere."""

    def of(self, application: str) -> "Deployment":
        """For an application of this name."""
        named = {field: getattr(self, field).replace("{app}", application) for field in ("root", "site", "standard")}
        return replace(self, **named)

    def relocated(self, text: str, site: str, standard: str, recording: str) -> str:
        """The text with the recorder's own places replaced."""
        lines = []
        for line in text.split("\n"):
            moved = line.replace(site, self.site).replace(standard, self.standard).replace(recording, self.root)
            if "\\" in self.site and moved.lstrip(" |+-").startswith("File "):
                before, quote, rest = moved.partition('"')
                path, quote, rest = rest.partition('"')
                moved = before + quote + path.replace("/", "\\") + quote + rest
            lines.append(_moved_line(moved, self.celery) if self.celery else moved)
        return "\n".join(lines)


def _moved_line(line: str, celery: str) -> str:
    by = {"4.4": -73, "5.2": -2, "5.3": 24}[celery]
    if "/celery/" not in line:
        return line
    return re.sub(r"line (\d+), in", lambda found: f"line {int(found[1]) + by}, in", line)


_DEBIAN = "/usr/lib/python3/dist-packages"
DEPLOYMENTS = {
    "docker": Deployment("/app", "/usr/local/lib/python3.11/site-packages", "/usr/local/lib/python3.11"),
    "docker39": Deployment("/app", "/usr/local/lib/python3.9/site-packages", "/usr/local/lib/python3.9", 9, "5.2"),
    "docker312": Deployment("/usr/src/app", "/usr/local/lib/python3.12/site-packages", "/usr/local/lib/python3.12", 12),
    "docker313": Deployment("/code", "/usr/local/lib/python3.13/site-packages", "/usr/local/lib/python3.13", 13),
    "uv": Deployment("/app/src", "/app/.venv/lib/python3.14/site-packages", "/usr/local/lib/python3.14", 14),
    "release": Deployment(
        "/srv/{app}/releases/20260301120455", "/srv/{app}/shared/venv/lib/python3.11/site-packages",
        "/usr/lib/python3.11",
    ),
    "release2": Deployment(
        "/srv/{app}/releases/20260417093012", "/srv/{app}/shared/venv/lib/python3.12/site-packages",
        "/usr/lib/python3.12", 12,
    ),
    "home": Deployment(
        "/home/deploy/{app}/current", "/home/deploy/.virtualenvs/{app}/lib/python3.9/site-packages",
        "/usr/lib/python3.9", 9, "5.3",
    ),
    "debian": Deployment("/var/www/{app}", _DEBIAN, "/usr/lib/python3.8", 8, "4.4"),
    "conda": Deployment(
        "/opt/{app}", "/opt/conda/envs/{app}/lib/python3.10/site-packages", "/opt/conda/lib/python3.10", 10
    ),
    "wheel": Deployment(
        "/opt/venvs/{app}/lib/python3.11/site-packages", "/opt/venvs/{app}/lib/python3.11/site-packages",
        "/usr/lib/python3.11",
    ),
    "windows": Deployment("C:\\Services\\{app}", "C:\\Python311\\Lib\\site-packages", "C:\\Python311\\Lib"),
    "mac": Deployment(
        "/Users/anna/code/{app}", "/Users/anna/code/{app}/.venv/lib/python3.12/site-packages",
        "/opt/homebrew/Cellar/python@3.12/3.12.4/Frameworks/Python.framework/Versions/3.12/lib/python3.12", 12,
    ),
    "zipapp": Deployment(
        "/opt/{app}/worker.pyz", "/usr/local/lib/python3.11/site-packages", "/usr/local/lib/python3.11"
    ),
    "egg": Deployment(
        "/opt/{app}/{app}-2.4.1-py3.8.egg", "/opt/{app}/env/lib/python3.8/site-packages", "/usr/lib/python3.8", 8, "4.4"
    ),
    "pex": Deployment(
        "/root/.pex/unzipped_pexes/5c2a8f0b6f7d1d9b3a4e", "/root/.pex/installed_wheels/0b91ce",
        "/usr/lib/python3.10", 10,
    ),
    "lambda": Deployment("/var/task", "/opt/python/lib/python3.11/site-packages", "/var/lang/lib/python3.11"),
    "nix": Deployment(
        "/var/lib/{app}/src", "/nix/store/8x1v7k2q-python3-3.11.9-env/lib/python3.11/site-packages",
        "/nix/store/3wbiv0y1-python3-3.11.9/lib/python3.11",
    ),
}  # fmt: skip
