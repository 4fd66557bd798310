"""`python -m sublim`. Jobs come in here by the hundred, so `run` goes past the command line, which costs 0.3 s to import."""

import sys

from sublim.common.errors import SublimError


def main() -> None:
    """Run one cell, or the command line."""
    if sys.argv[1:2] == ["run"] and len(sys.argv) == 3:
        from sublim.plan import job

        try:
            print(f"{sys.argv[2]}: {job.run(sys.argv[2])}", flush=True)
        except SublimError as error:
            sys.exit(f"sublim: {error}")
    else:
        from sublim.cli.main import main as command_line

        command_line()


if __name__ == "__main__":
    main()
