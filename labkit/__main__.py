"""`python -m labkit`: the command, where its script is not on the path."""

from labkit.commands.main import main

main(prog_name="labkit")
