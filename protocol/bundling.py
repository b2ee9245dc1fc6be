"""Step 5's parcel: what is uploaded encrypted, and the bundle that only the attested provider can open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol import manifest, wire
from protocol.events import Event, Happened
from protocol.identity import cid_bytes
from protocol.ports import NoAnswer, Put
from protocol.renting import UPLOADS, Failed
from protocol.sealing import bundle_info, seal_secret

if TYPE_CHECKING:
    from protocol.eip712 import Domain
    from protocol.ports import World
    from protocol.renting import PublisherSettings, Rental
    from protocol.sealing import Sealer


class Bundler:
    """Packs for one publisher.

    Args:
        world: its ports.
        settings: as the person chose.
        sealer: how seals are made.
        domain: the Payment contract's EIP-712 domain.
    """

    def __init__(self, world: World, settings: PublisherSettings, sealer: Sealer, domain: Domain) -> None:
        self.world = world
        self.settings = settings
        self._sealer = sealer
        self._payment_domain = domain

    async def pack(self, rental: Rental) -> wire.pb.Bundle | Failed:
        """Upload what the content store lacks (keyed by digest: nothing is sent twice) and list the keys."""
        world = self.world
        deadline_ns = world.clock.now_ns() + self.settings.upload_timeout_ns
        bundle = wire.pb.Bundle(pod=manifest.to_wire(rental.pod))
        uploaded = 0
        for container in rental.pod.containers:
            digest = await world.images.digest(container.image.url, deadline_ns=deadline_ns)
            if isinstance(digest, NoAnswer):
                return Failed("ImageUnknown", digest.reason)
            kept = await world.store.get(UPLOADS, digest)
            if kept is None:
                image = await world.images.publish(container.image.url, deadline_ns=deadline_ns)
                if isinstance(image, NoAnswer):
                    return Failed("UploadFailed", image.reason)
                kept = image.to_record()
                await world.store.commit([Put(UPLOADS, digest, kept)])
                uploaded += image.packed_bytes
            entry = bundle.images.add()
            entry.container = container.name
            entry.key.data = bytes.fromhex(kept["key"])
            entry.manifest = bytes.fromhex(kept["manifest"])
            entry.config = bytes.fromhex(kept["config"])
            entry.digest = digest
            entry.packedBytes = kept["packed_bytes"]
            sent = next(c for c in bundle.pod.containers if c.name == container.name)
            sent.image.Clear()
            sent.image.cid = cid_bytes(kept["cid"])
        for volume in bundle.pod.volumes:
            if volume.WhichOneof("configuration") == "secret" and not volume.secret.cid:
                key = world.entropy.draw(32)
                blob = seal_secret(key, world.entropy.draw(12), volume.secret.contents)
                cid = await world.content.put(blob, deadline_ns=deadline_ns)
                if isinstance(cid, NoAnswer):
                    return Failed("UploadFailed", cid.reason)
                volume.secret.Clear()
                volume.secret.cid = cid_bytes(cid)
                secret = bundle.secrets.add()
                secret.volume = volume.name
                secret.key.data = key
        rental.cause = world.trace.emit(
            Event(Happened.IMAGES_UPLOADED, rental.namespace, amount=uploaded), rental.cause
        )
        return bundle

    def seal(self, rental: Rental, bundle: wire.pb.Bundle) -> bytes:
        """The bundle, for the eyes of the attested provider and for this channel's life alone."""
        assert rental.offer is not None
        info = bundle_info(
            self._payment_domain,
            rental.offer.keys_hash,
            self.world.signer.address,
            rental.pod_id,
            rental.life,
        )
        return self._sealer.seal(rental.hpke_key, info, wire.dump(bundle))
