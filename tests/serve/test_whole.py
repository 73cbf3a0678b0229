import asyncio

import pytest
from ray.serve.exceptions import BackPressureError

from serve.whole import Method


def test_calls_beyond_the_queue_are_refused_and_room_comes_back():
    async def scenario() -> None:
        release = asyncio.Event()

        async def slow(value: int) -> int:
            await release.wait()
            return value

        method = Method(slow, most=2)
        held = [asyncio.create_task(method.remote(number)) for number in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BackPressureError):
            await method.remote(2)
        release.set()
        assert await asyncio.gather(*held) == [0, 1]
        assert await method.remote(3) == 3

    asyncio.run(scenario())


def test_a_call_that_fails_gives_its_room_back():
    async def scenario() -> None:
        async def broken() -> None:
            raise KeyError

        method = Method(broken, most=1)
        for _ in range(3):
            with pytest.raises(KeyError):
                await method.remote()

    asyncio.run(scenario())
