"""The `trustedpods` command: parses, wires, calls; nothing else.

What belongs here: options, exit statuses, what goes to stdout and stderr, progress. What does not: any
rule of a scenario, a run or a report; those are `sim`'s and `live`'s, and every command is one call
into them. Imports are made inside the commands, so that `--help` is quick.
"""
