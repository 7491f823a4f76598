"""What tasks wait with: for each other, for events and locks."""
import asyncio
from asyncio import CancelledError, TaskQueue, TimeoutError, create_task, sleep, sleep_ms


async def wait_for(aw, timeout, sleep=sleep):
    aw = asyncio._task(aw)
    if timeout is None:
        return await aw
    waiter, result, error, waits = asyncio.cur_task, None, None, True

    async def watch():
        nonlocal result, error, waits
        try:
            result = await aw
        except BaseException as raised:
            error = raised
        if waits and waiter.data is None:       # it sleeps, and nobody cancelled it meanwhile
            asyncio._task_queue.remove(waiter)
            asyncio._task_queue.push(waiter)
        waits = False

    watching = create_task(watch())
    try:
        await sleep(timeout)
    except CancelledError:
        waits = False
        watching.cancel()
        raise
    if waits:
        waits = False
        watching.cancel()
        await watching
        raise TimeoutError
    if error is not None:
        raise error
    return result


def wait_for_ms(aw, timeout):
    return wait_for(aw, timeout, sleep_ms)


class _Gathering:
    """What a task that gathers waits in: no queue, so there is nothing to be removed from."""

    @staticmethod
    def remove(task):
        pass


async def gather(*aws, return_exceptions=False):
    waiter, tasks, running, failed, cancelled = asyncio.cur_task, [asyncio._task(aw) for aw in aws], 0, None, False

    def ended(task, end):
        nonlocal running, failed
        if waiter.data is _Gathering:       # else it has been woken already
            running -= 1
            if not return_exceptions and not isinstance(end, StopIteration):
                failed = end
            if failed or not running:
                asyncio._task_queue.push(waiter)

    for task in tasks:
        if task.state is True:
            task.state = ended
            running += 1
        elif task.state:
            raise RuntimeError("can't gather")      # somebody else waits for it
        elif not return_exceptions and not isinstance(task.data, StopIteration):
            failed = failed or task.data
    if running and not failed:
        waiter.data = _Gathering
        try:
            yield
        except CancelledError as error:
            failed, cancelled = error, True
    for number, task in enumerate(tasks):
        if task.state is ended:             # it runs on by itself
            task.state = True
            if cancelled:
                task.cancel()
        elif isinstance(task.data, StopIteration):
            tasks[number] = task.data.value
        elif return_exceptions:
            tasks[number] = task.data
        else:
            failed = failed or task.data
    if failed:
        raise failed
    return tasks


class Event:
    def __init__(self):
        self.state, self.waiting = False, TaskQueue()

    def is_set(self):
        return self.state

    def set(self):
        while self.waiting.peek() is not None:
            asyncio._task_queue.push(self.waiting.pop())
        self.state = True

    def clear(self):
        self.state = False

    async def wait(self):
        if not self.state:
            self.waiting.push(asyncio.cur_task)
            asyncio.cur_task.data = self.waiting
            yield
        return True


class Lock:
    def __init__(self):
        self.state, self.waiting = False, TaskQueue()

    def locked(self):
        return self.state is not False

    async def acquire(self):
        if self.state:
            self.waiting.push(asyncio.cur_task)
            asyncio.cur_task.data = self.waiting
            try:
                yield
            except CancelledError:
                if self.state is asyncio.cur_task:      # it was handed over just before
                    self.state = True
                    self.release()
                raise
        self.state = True
        return True

    def release(self):
        if not self.state:
            raise RuntimeError("Lock not acquired")
        if self.waiting.peek() is None:
            self.state = False
        else:
            self.state = self.waiting.pop()     # handed over: nobody gets in between
            asyncio._task_queue.push(self.state)

    async def __aenter__(self):
        return await self.acquire()

    async def __aexit__(self, kind, error, trace):
        return self.release()


class ThreadSafeFlag:
    """An event that an interrupt may set: the loop asks for it as for a stream."""

    def __init__(self):
        self.state = 0

    def _events(self, wanted):
        return wanted if self.state else 0

    def ioctl(self, request, flags):
        return self._events(flags) if request == 3 else -1

    def set(self):
        self.state = 1

    def clear(self):
        self.state = 0

    async def wait(self):
        if not self.state:
            yield asyncio._io_queue.queue_read(self)
        self.state = 0
