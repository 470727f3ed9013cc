"""`python -m prunescope`: the command without its script."""

from prunescope.cli.main import main

main()
