"""``python -m pipeline.process.settings_page`` writes ``docs/settings.md`` of the checkout it runs in."""

from pathlib import Path

from pipeline.process.settings import as_page

if __name__ == "__main__":
    Path("docs/settings.md").write_text(as_page(), encoding="utf-8")
