"""What judges evidence of real hardware. `Attestor` and `Verifier` of live mode.

What belongs here: reading a kind's reports, its certificate chains and revocation lists. What does not: what a
publisher demands (`protocol.attestation`), and evidence of kind `sim`, which never counts where money is real.
"""

from live.attestation.kinds import KindVerifier, NoAttestor
from live.attestation.snp import SnpVerifier

__all__ = ["KindVerifier", "NoAttestor", "SnpVerifier"]
