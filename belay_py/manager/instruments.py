"""What a manager's instruments are told: of its leases, and of whatever its sessions do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from belay_py.metrics import Installed, Observed, Operation, without

if TYPE_CHECKING:
    from collections.abc import Callable

    from belay_py.manager.claims import Claim
    from belay_py.manager.pool import Pool
    from belay_py.metrics import Instrument


def install(pool: Pool, instrument: Instrument) -> Callable[[], None]:
    """Tell an instrument of the manager's leases, and of what all its sessions do, those to come included.

    Return what ends that. Raises `SettingsError` for what is no instrument.
    """
    installed = Installed(instrument)
    pool.instruments += (installed,)
    for member in pool.members.values():
        if member.session is not None:
            member.standing.instruments += (installed,)

    def uninstall() -> None:
        pool.instruments = without(pool.instruments, installed)
        for member in pool.members.values():
            if member.session is not None:
                member.standing.instruments = without(member.standing.instruments, installed)

    return uninstall


def watch_lease(pool: Pool, claim: Claim) -> Observed:
    """Begin to tell the instruments of a lease that is asked for."""
    return Observed(pool.instruments, Operation("lease", ", ".join(claim.keys)))
