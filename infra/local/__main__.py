"""Runs a command of the local stack: see commands.py."""

import sys

import tools

if __name__ == "__main__":
    tools.enter_environment()
    # These import what the environment has.
    import commands

    sys.exit(commands.main(lambda: commands.named(sys.argv[1:])))
