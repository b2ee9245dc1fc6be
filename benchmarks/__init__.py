"""Speed and scale, beside the peers that can be installed: `python -m benchmarks`.

What belongs here: programs that measure, what they run, and how what they found is written down. What does not:
anything that a simulation needs (`sim`), and checks of what is right (`tests`), but for one: a peer whose model gives
another answer is not compared.
"""
