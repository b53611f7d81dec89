"""Messages and many snippets on the official Pico firmware, which has timers."""

from __future__ import annotations

from belay_py import DeviceSession, ExecutionError

TIMER = """
import machine
ticks = 0
def tick(timer):
    global ticks
    belay_send(('tick', ticks))
    ticks += 1
timer = machine.Timer(period=20, callback=tick)
"""


async def test_a_timer_sends_while_nothing_runs_and_beside_what_does(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        inbox = session.messages(timeout=20)
        await session.execute(TIMER)
        came = [await anext(inbox) for _ in range(5)]
        for number in range(30):
            assert await session.evaluate(f"[{number}, 'x' * 300]") == [number, "x" * 300]
            assert (await session.execute(f"for i in range(20): print({number})")).output == f"{number}\n" * 20
        assert not session._standing.channel or not session._standing.channel.repl.doubted
        await session.execute("timer.deinit()")
        ticks = await session.evaluate("ticks")
        came += inbox.take()
        assert [message.value for message in came] == [("tick", number) for number in range(ticks)]


IN_THE_MIDDLE = f"""
{TIMER.replace("period=20", "period=5")}
for n in range(15): belay_send(('main', n, [[n, str(n)]] * 30))
timer.deinit()
"""


async def test_a_timer_sends_in_the_middle_of_messages(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        inbox = session.messages(limit=5000)
        await session.execute(IN_THE_MIDDLE, timeout=60)
        await session.execute("pass")  # the last ticks may have waited for it
        came = inbox.take()
        ticks = [message.value for message in came if message.value[0] == "tick"]
        assert ticks == [("tick", number) for number in range(len(ticks))]
        assert len(ticks) > 3
        sent = [("main", n, [[n, str(n)]] * 30) for n in range(15)]
        assert [message.value for message in came if message.value[0] == "main"] == sent
        assert not any(message.missed for message in came)


async def test_many_snippets(pico_port: str) -> None:
    async with DeviceSession(pico_port) as session:
        snippets = [f"print({number}, '\\x04')" for number in range(500)]
        results = await session.execute_many(snippets, timeout=60)
        assert [result.output for result in results] == [f"{number} \x04\n" for number in range(500)]
        failed = await session.execute_many(["1/0", "x =", "print('on')"], stop_on_error=False)
        for result in failed[:2]:
            assert isinstance(result, ExecutionError)
            assert [frame.line for frame in result.frames] == [1]
        assert failed[2].output == "on\n"
