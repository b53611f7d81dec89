"""Claims that are waited for: the plan decides at once, and here somebody may wait for what it decides later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from belay_py.errors import BelayError, DeviceBusy, DeviceNotFound, SessionClosed, TooManyWaiters
from belay_py.manager.plan import Claim, Close, Effects, Grant, Plan, Refused
from belay_py.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Admission:
    """One plan, and those who wait for it.

    ``close`` is called for each board that has to be closed to make room, and must not raise. ``clock`` is the loop's.
    """

    def __init__(self, plan: Plan, close: Callable[[str, Claim], None], clock: Callable[[], float]) -> None:
        self.plan = plan
        self._close = close
        self._clock = clock
        self.why_barred: dict[str, Callable[[], BelayError]] = {}
        """What to tell those who want a board that is left alone for a while."""
        self._bystanders: list[asyncio.Future[None]] = []

    async def admit(self, claim: Claim, deadline: float) -> None:
        """Return when the claim has its boards.

        Raises `DeviceBusy` at the deadline, `TooManyWaiters`, `DeviceNotFound`, `CircuitOpen` or `SessionClosed`; the
        claim has nothing then, as when this is cancelled.
        """
        if not self.admit_at_once(claim, self._clock()):
            await self.wait(claim, deadline)

    def admit_at_once(self, claim: Claim, now: float) -> bool:
        """Grant the claim or queue it; return whether it was granted. Raises as `admit`."""
        if self.why_barred:
            for key in claim.keys:
                if key in self.why_barred:
                    raise self.why_barred[key]()
        if len(claim.keys) == 1:  # the most frequent case is the cheapest
            place = self.plan.places.get(claim.keys[0])
            if place is not None and self.plan.take(place, claim, now):
                return True
        try:
            effects = self.plan.request(claim, now)
        except Refused as refusal:
            raise self._in_words(refusal, claim) from None
        self.perform(effects)
        return bool(claim.granted)

    async def wait(self, claim: Claim, deadline: float) -> None:
        """Return when a claim that was queued by `admit_at_once` has its boards. Raises as `admit`."""
        claim.ticket = ticket = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout_at(deadline):
                await ticket
        except BaseException as error:  # it goes on, or one of ours does
            # Whatever was handed over in this moment goes to the next one.
            self.perform(self.plan.give_up(claim, self._clock()))
            if ticket.done() and not ticket.cancelled():
                ticket.exception()  # a refusal that came with the cancellation has been seen
            if isinstance(error, TimeoutError):
                raise self._busy(claim) from None
            raise

    def release(self, claim: Claim, key: str) -> None:
        """Take one board of a claim back, and give it to the next."""
        effects = self.plan.release(claim, key, self._clock())
        if effects:
            self.perform(effects)
        if self._bystanders:
            self.nudge()

    def closed(self, key: str) -> None:
        """Note that a board is not connected any more, and give its room to the next."""
        self.perform(self.plan.closed(key))
        self.nudge()

    def nudge(self) -> None:
        """Let those who wait for the next release look again."""
        bystanders, self._bystanders = self._bystanders, []
        for waiter in bystanders:
            if not waiter.done():
                waiter.set_result(None)

    async def next_release(self) -> None:
        """Wait until somebody gives a board back, or the room of one, without wanting it."""
        waiter = asyncio.get_running_loop().create_future()
        self._bystanders.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._bystanders:  # it was cancelled
                self._bystanders.remove(waiter)

    def perform(self, effects: Effects) -> None:
        """Do what the plan has decided about others."""
        for effect in effects:
            match effect:
                case Grant(claim):
                    if not claim.ticket.done():  # else it is being given up, and gives back what it got
                        claim.ticket.set_result(None)
                case Close(key, claim):
                    self._close(key, claim)

    def refuse(self, claims: list[Claim], error: Callable[[], BelayError]) -> None:
        """Let claims that are not in the plan any more fail."""
        for claim in claims:
            if not claim.ticket.done():
                claim.ticket.set_exception(error())

    # -- in words -----------------------------------------------------------------------------------------------

    def _in_words(self, refusal: Refused, claim: Claim) -> BelayError:
        match refusal.why:
            case "closed":
                return SessionClosed("the manager is closing, or was closed; make a new one")
            case "too many waiting":
                return TooManyWaiters(
                    f"{len(self.plan.waiting)} others wait for boards already (max_waiting is "
                    f"{self.plan.max_waiting}); try later, or use more boards"
                )
            case "more than max":
                return TooManyWaiters(
                    f"{claim.wants} can never be open together: max_sessions is {self.plan.max_open}; raise it"
                )
            case "unknown":
                missing = next(key for key in claim.keys if key not in self.plan.places)
                return unknown(missing, self.plan.places)
            case "nobody fits":
                tags = sorted({tag for place in self.plan.places.values() for tag in place.tags})
                there = f"the tags there are: {', '.join(tags)}" if tags else "no device has any tags"
                return DeviceNotFound(f"there is no {claim.wants.removeprefix('a ')}; {there}")

    def _busy(self, claim: Claim) -> DeviceBusy:
        places = [self.plan.places[key] for key in claim.keys if key in self.plan.places] or self.plan.tagged(
            claim.tags
        )
        holders = [
            f"{place.key} is used by {place.holder.holder or place.holder.kind.value}"
            for place in places
            if place.holder is not None
        ]
        why = "; ".join(holders[:3]) or (
            f"all {self.plan.max_open} sessions that may be open (max_sessions) are in use"
            if self.plan.slots >= self.plan.max_open
            else "those who came before it wait too"
        )
        more = f", and {len(holders) - 3} more are in use" if len(holders) > 3 else ""
        return DeviceBusy(
            f"{claim.wants} did not become free before the deadline: {why}{more}; allow more time, or end that",
            holder=holders[0] if holders else None,
        )


def unknown(device_id: str, known: Iterable[str]) -> DeviceNotFound:
    """Return the error for a name that no device has."""
    return DeviceNotFound(f"there is no device {device_id!r}; {did_you_mean(device_id, known, 'the devices are')}")
