"""The data plane: every single request of every pod, advanced by compiled code.

Here: what a provider's cluster does between two control events (`plane.DataPlane`), the kernel that does it,
draws and sketches. Not here: money, clients, networks, scenarios; scaling rules (they are
`protocol.scaling`'s and are compiled as they stand).

    for everyone   plane, specs (what it is told and answers); draws, streams (of the control plane), sketches
    the plane's    arrays (its memory), encoding (what is written there), readings, sums (what is read there)
    beside it      wide (whole numbers of 128 bits)

Compiled; each module imports only what stands before it:

    its ground     cache (where compiled code is kept), tables (how it reaches arrays), state (records and
                   numbers); heaps, timers, chance (draws), recording (rows, samples, sketches)
    what waits     rule (that scales a pod), requests, clients, replicas
    a request      arrivals, sharing, contention, service, facade
    a replica      images, cluster
    a plane        control (what its owner does to it), engine
"""
