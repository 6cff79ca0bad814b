"""Runs a command of the local stack: see commands.py."""

import sys

import tools
from console import Failure, say

if __name__ == "__main__":
    try:
        tools.enter_environment()
    except Failure as failure:
        say(f"✗ {failure}", to=sys.stderr)
        sys.exit(1)
    # These import what the environment has.
    import commands

    sys.exit(commands.main(lambda: commands.named(sys.argv[1:])))
