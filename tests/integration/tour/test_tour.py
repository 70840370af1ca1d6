"""The README's tour, typed as it stands there."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.product import Product

ROOT = Path(__file__).parents[3]
PASSWORD = "choose-one"


def snippets() -> dict[str, str]:
    """The shell blocks of the README by the name in the comment above them."""
    return dict(re.findall(r"<!-- tour: (\w+) -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))


@pytest.mark.timeout(180)
def test_the_tour_ends_approved(tmp_path: Path) -> None:
    blocks = snippets()
    assert list(blocks) == ["up", "publish", "start", "decide"]
    assert blocks.pop("up").split() == ["export", f"BLOCKLINE_ADMIN_PASSWORD={PASSWORD}", "make", "up"]
    with Product(tmp_path, password=PASSWORD) as product:
        script = "\n".join(["set -eu", "shopt -s expand_aliases", *blocks.values(), "wait $!"])
        typed = subprocess.run(
            ["bash", "-c", script],  # noqa: S607  (the shell of the README's reader)
            cwd=ROOT,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "BLOCKLINE_URL": product.url},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert typed.returncode == 0, typed.stdout + typed.stderr + product.tail()
    assert "manual-approval-block" in typed.stdout
    assert "APPROVED" in typed.stdout.splitlines()[-1]
