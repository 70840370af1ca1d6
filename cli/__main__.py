"""``blockline``: parses, then imports no more than the command needs, since people wait for the prompt."""

import os
import sys
from importlib import import_module

from cli.context import Context
from cli.parser import build_parser
from pipeline.core.errors import BlocklineError

FAILED = 1
USAGE = 2
INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code (0 done, 1 failed run or refused request, 2 usage)."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: list[str] | None) -> int:
    parser = build_parser()
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown and not hasattr(parsed, "shown"):  # what isn't available yet takes anything
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if not hasattr(parsed, "handler"):
        getattr(parsed, "group", parser).print_help(sys.stderr)
        return USAGE
    module, _, function = parsed.handler.partition(":")
    context = Context(parsed, os.environ, sys.stdout, sys.stderr)
    try:
        code = getattr(import_module(module), function)(context)
    except BlocklineError as error:
        context.complain(error)
        code = getattr(error, "exit_code", FAILED)
    except BrokenPipeError:
        # Somebody's `| head` has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILED
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
