"""`python -m sublim`. Jobs come in here by the hundred, so `run` goes past the command line, which costs 0.3 s to import."""

import sys

from sublim.common.errors import SublimError
from sublim.common.names import is_cell
from sublim.common.terminal import speak_utf8
from sublim.engine import layout


def main() -> None:
    """Run one cell that is planned, or the command line."""
    speak_utf8()
    command, words = sys.argv[1:2], sys.argv[2:]
    if command == ["run"] and len(words) == 1 and is_cell(words[0]) and layout.plan(words[0]).is_file():
        from sublim.engine.run import run

        try:
            print(f"{words[0]}: {run(words[0])}", flush=True)
        except (SublimError, OSError) as error:
            from sublim.common.foreign import told
            from sublim.common.reading import explained

            if (said := explained(error)) is None:
                raise
            sys.exit(f"sublim: {told(said)}")
    else:
        from sublim.cli.main import main as command_line

        command_line()


if __name__ == "__main__":
    main()
