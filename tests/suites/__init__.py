"""One conformance suite a port: what every adapter of it must do, simulated or live.

A suite is a class of tests that knows the port and a bench. An adapter's test module subclasses it and
gives the one fixture `bench`; nothing else couples the two. Times are in units of the bench, so that what
takes virtual seconds in a simulation takes milliseconds of a real clock.
"""
