"""The data plane: every single request of every pod, advanced by compiled code.

Here: what a provider's cluster does between two control events (`plane.DataPlane`), the kernel that does it,
draws and sketches. Not here: money, clients, networks, scenarios; scaling rules (they are
`protocol.scaling`'s and are compiled as they stand).
"""
