"""The real world: one adapter for every port against something real, and what a deployment needs around it.

What belongs here: clocks, chains, networks, clusters and stores that exist outside of this process, the errors
that they raise (each foreign error ends in the one module that speaks to its source), and `wiring`, the only
place that reads settings and builds these things. What does not: rules of the market (they are in `protocol`, and
run here as they run in `sim`), anything with virtual time (`sim`), and the command (`cli`).

Everything runs under trio. Clients that block run in worker threads (`Process.in_thread`).
"""
