"""The data plane once more in plain Python: event by event, one list, no tricks.

What belongs here: `plane.ReferencePlane`, with the methods of `sim.kernel.plane.DataPlane` and the same answers to
the last byte. Compiled code runs pods ahead of each other, draws in blocks, keeps timers and links lists by hand; here
the next event is looked for among all, each timer is worked out from what is there, and every list is a list. It is
slow, and meant to be read and distrusted less.

A run uses it when a pod scales by a class that somebody brought (`own`). Tests hold the kernel to it on random worlds;
benchmarks show what the tricks bring.

    sources    when a pod's requests come, and what each demands
    machines   nodes: room, image pulls, image caches
    pod        requests, replicas and the scaling rule of one pod
    own        a scaling rule that somebody brought
    events     what happens to them, and in which order
    plane      what the owner of a cluster asks and is told
"""
