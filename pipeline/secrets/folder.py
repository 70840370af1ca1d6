"""Secrets in a folder, one file each: what a mounted Kubernetes Secret is, and what a person can fill by hand."""

from pathlib import Path

from pipeline.blocks.secrets import SecretError
from pipeline.core.limits import SECRET_BYTES_MAX
from pipeline.spec.secret_templates import is_secret_name


class FolderSecrets:
    """See :class:`pipeline.blocks.secrets.Secrets`. Read anew each time: a file of some bytes, near the processor."""

    def __init__(self, folder: Path) -> None:
        """``folder`` needn't be there yet."""
        self._folder = folder

    async def get(self, name: str) -> str:
        """See the port; the file's text without the one line end that editors leave."""
        if not is_secret_name(name):
            raise SecretError("A secret's name has letters, digits and _ only.")
        try:
            with (self._folder / name).open("rb") as file:
                content = file.read(SECRET_BYTES_MAX + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise SecretError(f"There is no secret {name}. An operator can add it.") from None
        except OSError:
            raise SecretError(f"The secret {name} can't be read. An operator can say why.") from None
        if len(content) > SECRET_BYTES_MAX:
            raise SecretError(f"The secret {name} is larger than {SECRET_BYTES_MAX} bytes.")
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise SecretError(f"The secret {name} isn't text.") from None
        return text.removesuffix("\n").removesuffix("\r")
