"""`python -m gatepost`."""

from gatepost.cli import main

main(prog_name="gatepost")
