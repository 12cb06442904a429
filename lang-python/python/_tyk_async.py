"""Runs `async` hooks: on an event loop of the thread, which is made at its first such call."""

import asyncio
import threading

_own = threading.local()

# How long the loop may take to notice that time is up, and how often it looks after that.
_GRACE = 0.02
_AGAIN = 0.05


def run(coroutine, seconds, timeout):
    """Runs a coroutine to its end; raises `timeout` when it takes longer than it may.

    A loop that waits does not see that it is cut from outside, so a timer wakes it then.
    """
    loop = _loop()
    task = loop.create_task(coroutine)
    late = []

    def wake():
        late.append(loop.call_later(_AGAIN, wake))
        task.cancel()

    timer = loop.call_later(seconds + _GRACE, wake)
    done = False
    try:
        result = loop.run_until_complete(task)
        done = True
        return result
    except asyncio.CancelledError:
        if late:
            raise timeout() from None
        raise
    except Exception:
        done = True
        raise
    finally:
        timer.cancel()
        for timer in late:
            timer.cancel()
        if not done or not _left_nothing(loop):
            # What still runs in it would run in the time of another call.
            _own.loop = None
            _close(loop)


def _loop():
    loop = getattr(_own, "loop", None)
    if loop is None or loop.is_closed():
        loop = _own.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    return loop


def _left_nothing(loop):
    """Cancels what the call started and did not wait for; whether all of it has ended."""
    left = asyncio.all_tasks(loop)
    if not left:
        return True
    for task in left:
        task.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    return not asyncio.all_tasks(loop)


def _close(loop):
    try:
        loop.close()
    except Exception:
        # One that was cut in the middle of something cannot always be closed.
        pass
