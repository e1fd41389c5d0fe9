"""`python -m enecg` is the program `enecg`."""

from enecg.cli import main

main()
