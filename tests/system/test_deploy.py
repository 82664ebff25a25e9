"""The files for containers and proxies fit the program."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from crm_graph.settings import Settings
from tests.conftest import skip
from tests.support import proxies

ROOT = Path(__file__).parents[2]
SETTINGS = dataclasses.fields(Settings)
OTHERS = {
    "compose.yaml": {"CRM_GRAPH_PORT"},
    "docs/operators/security.md": {"CRM_GRAPH_PASSWORD"},
    "docs/operators/settings.md": {each.metadata["old_name"] for each in SETTINGS if "old_name" in each.metadata},
    "docs/clients/typed-clients.md": {"CRM_GRAPH_URL", "CRM_GRAPH_TOKEN"},
}
"""Variables that are not settings: compose's, the command line's, old names, and those of the clients."""
FOR_TESTS = re.compile(r"CRM_GRAPH_TEST_\w+")


@pytest.mark.parametrize(
    "file",
    ["README.md", "compose.yaml", "Dockerfile", "docs/operators/nginx.conf", *map(str, Path("docs").rglob("*.md"))],
)
def test_the_settings_that_are_named_are_settings(file: str) -> None:
    named = set(re.findall(r"\bCRM_GRAPH_[A-Z_]+[A-Z]", FOR_TESTS.sub("", (ROOT / file).read_text())))
    known = {f"CRM_GRAPH_{each.name.upper()}" for each in SETTINGS}
    assert named - known <= OTHERS.get(file, set())


def test_the_operators_guide_has_every_setting() -> None:
    text = (ROOT / "docs" / "operators" / "settings.md").read_text()
    secret = {"demo_token"}
    missing = {each.name for each in SETTINGS if f"`CRM_GRAPH_{each.name.upper()}`" not in text}
    assert missing == secret


def test_the_proxy_and_the_containers_agree() -> None:
    compose, nginx = (ROOT / "compose.yaml").read_text(), (ROOT / "docs" / "operators" / "nginx.conf").read_text()
    docker = (ROOT / "Dockerfile").read_text()
    services = re.findall(r"^  ([\w-]+):", compose.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0], re.M)
    assert services == ["server-1", "server-2", "migrate", "nginx", "postgres", "redis"]
    assert re.findall(r"server (\S+) max_fails", nginx) == ["server-1:8000", "server-2:8000"]
    assert '"--port", "8000"' in docker
    assert "EXPOSE 8000" in docker
    assert "}:8080" in compose
    assert "listen 8080" in nginx
    assert f"client_max_body_size {Settings.body_bytes // 1_000_000}m" in nginx


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        skip("nginx is not installed: its configuration was not tried.")
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(proxies.nginx_configuration(["127.0.0.1:8001", "127.0.0.1:8002"], tmp_path, 8003))
    tried = subprocess.run(["nginx", "-t", "-c", str(configuration)], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert "[warn]" not in tried.stderr


def test_a_wheel_has_all_that_runs(tmp_path: Path) -> None:
    """It is built as the Dockerfile does it."""
    docker = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", docker.partition(" AS build")[2], re.M)
    for name in " ".join(copied).split():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "static"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    page = tmp_path / "crm_graph" / "static" / "graphiql" / "graphiql.js"
    page.parent.mkdir(parents=True)
    page.write_text("export {}")
    program = "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-c", program, wheels]
        built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
        [wheel] = Path(wheels).glob("*.whl")
        packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {
        str(path.relative_to(tmp_path))
        for name in ("crm_graph", "loaders", "schema")
        for path in (tmp_path / name).rglob("*")
        if path.is_file()
    }
    assert packed == sources
