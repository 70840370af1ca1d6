"""Commands that the next versions have; said with a sentence instead of silence."""

from cli.context import Context


def refuse(context: Context) -> int:
    """Say so."""
    print(f"`blockline {context.argument('shown')}` isn't available in this version.", file=context.err)
    return 1
