"""Runs `async` hooks: on an event loop of the thread, which is made at its first such call."""

import asyncio
import concurrent.futures
import sys
import threading

_own = threading.local()

# How often a task that does not end is cancelled again.
_AGAIN = 0.05

# How many threads all hooks have for what they await in one, such as `asyncio.to_thread`.
THREADS = 64


class _Executor(concurrent.futures.ThreadPoolExecutor):
    """The threads of all loops: what hooks leave running in them is bounded by that."""

    def __init__(self):
        super().__init__(THREADS, "py-to-thread")
        self._held = set()

    def submit(self, function, /, *args, **kwargs):
        if len(self._held) >= THREADS:
            raise RuntimeError(
                "all %d threads of `asyncio.to_thread` are held by calls whose hooks have "
                "ended; give these calls time limits of their own" % THREADS
            )
        call = super().submit(function, *args, **kwargs)
        calls = getattr(_own, "calls", None)
        if calls is not None:
            calls.append(call)
        return call

    def let_go(self, calls):
        """Notes which calls of a hook that has ended still hold a thread."""
        for call in calls:
            if not call.cancel() and not call.done():
                self._held.add(call)
                call.add_done_callback(self._held.discard)

    def shutdown(self, wait=True, *, cancel_futures=False):
        # A loop that is closed closes its executor, which is that of all others too.
        pass


_executor = _Executor()


def run(coroutine, seconds, timeout, spare=lambda: None):
    """Runs a coroutine to its end; raises `timeout` when it takes longer than it may.

    A loop that waits does not see that it is cut from outside, so a timer wakes it then.
    `spare` is called before what ends the coroutine: no cut should hit that.
    """
    loop = _loop()
    _own.calls = []
    task = loop.create_task(coroutine)
    late = []

    def wake():
        if not late:
            spare()
        late.append(loop.call_later(_AGAIN, wake))
        task.cancel()

    timer = loop.call_later(seconds, wake)
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
        _executor.let_go(_own.calls)
        _own.calls = None
        if not done or not _left_nothing(loop):
            # What still runs in it would run in the time of another call.
            _own.loop = None
            _close(loop)


def relent():
    """Undoes what a loop of this thread does at its end, should a cut have kept it from that.

    To be called where no loop runs on the thread.
    """
    asyncio._set_running_loop(None)
    sys.set_asyncgen_hooks(None, None)


def _loop():
    loop = getattr(_own, "loop", None)
    if loop is None or loop.is_closed() or loop.is_running():
        loop = _own.loop = asyncio.new_event_loop()
        loop.set_default_executor(_executor)
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
    # One that was cut at its end believes that it runs, and cannot be closed then.
    loop._thread_id = None
    try:
        loop.close()
    except Exception:
        # One that was cut in the middle of something cannot always be closed.
        pass
