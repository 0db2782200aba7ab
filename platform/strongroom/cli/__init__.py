"""The command line: `strongroom …`."""

from strongroom.cli.main import main

__all__ = ["main"]
