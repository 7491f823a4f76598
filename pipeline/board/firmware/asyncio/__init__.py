"""asyncio on the board's clock, over the interpreter's own _asyncio: a task, and a queue of tasks by time.

A turn of the loop runs the task that is due first; between turns the board sleeps and lets interrupts and timers in. _asyncio looks up
`cur_task`, `_task_queue` and `CancelledError` here. A task's `state` is True while it runs, a queue of tasks or a function where somebody
waits for its end, None after an end that nobody waited for, False after one that somebody did; `data` is what it waits in, then how it ended.

What many programs do without stands in waiting.py and stream.py, which are loaded at their first use.
"""
from _hw import call, inner, report
from time import ticks_add, ticks_diff
from time import ticks_ms as ticks

_own = inner("_asyncio")
Task, TaskQueue = _own.Task, _own.TaskQueue
__version__ = (3, 0, 0)
_LATER = {"stream": ("Stream", "StreamReader", "StreamWriter", "open_connection", "start_server"),
          "waiting": ("Event", "Lock", "ThreadSafeFlag", "gather", "wait_for", "wait_for_ms")}
if False:       # said once more for image.py, which reads and does not run
    from asyncio.stream import StreamReader, StreamWriter, open_connection, start_server
    from asyncio.waiting import Event, Lock, ThreadSafeFlag, gather, wait_for, wait_for_ms


def __getattr__(name):
    for part, names in _LATER.items():
        if name in names:
            return getattr(__import__("asyncio." + part, None, None, (name,)), name)
    raise AttributeError(name)


class CancelledError(BaseException):
    pass


class TimeoutError(Exception):
    pass


_task_queue = TaskQueue()
cur_task = None


# --- the loop -------------------------------------------------------------------------------------------------------

def create_task(coro):
    if not hasattr(coro, "send"):
        raise TypeError("coroutine expected")
    task = Task(coro, globals())
    _task_queue.push(task)
    return task


def _task(awaitable):
    return awaitable if isinstance(awaitable, Task) else create_task(awaitable)


def _due(main):
    """Waits for the next task that is due; None where no task is left that could be, and `main` has ended."""
    while True:
        task, wait = _task_queue.peek(), -1
        if task is not None:
            wait = max(0, ticks_diff(task.ph_key, ticks()))
        elif not _io_queue.waiting and (main is None or not main.state):
            return None
        if _io_queue.waiting:
            _io_queue.wait_io_event(wait)
        elif wait > 0:
            call("sleep", str(wait * 1000))
        elif wait < 0:
            call("wait")        # an interrupt may yet set an event
        if wait == 0:
            return _task_queue.pop()


def run_until_complete(main=None):
    global cur_task
    while True:
        task = cur_task = _due(main)
        if task is None:
            return None
        if not task.state:      # it ended before, with an error, and had its turn to be asked for it
            if task.state is None:
                Loop.call_exception_handler({"message": "Task exception wasn't retrieved", "exception": task.data, "future": task})
            continue
        try:
            thrown = task.data
            if thrown:
                task.data = None
                task.coro.throw(thrown)
            else:
                task.coro.send(None)
        except (CancelledError, Exception) as end:
            if task is main:
                cur_task = None
                if not isinstance(end, StopIteration):
                    task.state = False
                    raise end
            _end(task, end, task is main)
            if task is main:
                return end.value


def _end(task, end, waited):
    """Wakes whoever waits for the task; `waited` says that the loop itself does."""
    if task.state is True:
        task.state = False if waited else None
    elif callable(task.state):
        task.state(task, end)
        task.state, waited = False, True
    else:
        while task.state.peek() is not None:
            _task_queue.push(task.state.pop())
            waited = True
        task.state = False
    if not waited and not isinstance(end, (CancelledError, StopIteration)):
        _task_queue.push(task)      # its next turn tells of the error, unless somebody asks for it until then
    task.data = end


def run(coro):
    return run_until_complete(create_task(coro))


def current_task():
    if cur_task is None:
        raise RuntimeError("no running event loop")
    return cur_task


async def _stopper():
    pass


class Loop:
    _handler = None
    _stop = None

    @staticmethod
    def create_task(coro):
        return create_task(coro)

    @staticmethod
    def run_forever():
        Loop._stop = Task(_stopper(), globals())
        run_until_complete(Loop._stop)

    @staticmethod
    def run_until_complete(awaitable):
        return run_until_complete(_task(awaitable))

    @staticmethod
    def stop():
        if Loop._stop is not None:
            _task_queue.push(Loop._stop)
            Loop._stop = None

    @staticmethod
    def close():
        pass

    @staticmethod
    def set_exception_handler(handler):
        Loop._handler = handler

    @staticmethod
    def get_exception_handler():
        return Loop._handler

    @staticmethod
    def default_exception_handler(loop, context):
        print(context["message"])
        print("future:", context["future"], "coro=", context["future"].coro)
        report(context["exception"])

    @staticmethod
    def call_exception_handler(context):
        (Loop._handler or Loop.default_exception_handler)(Loop, context)


def get_event_loop(runq_len=0, waitq_len=0):
    return Loop


def new_event_loop():
    global _task_queue, _io_queue
    _task_queue, _io_queue = TaskQueue(), IOQueue()
    return Loop


# --- waiting --------------------------------------------------------------------------------------------------------

class SingletonGenerator:
    """Puts the running task back into the queue for later. One does for all, since it is awaited as soon as it is made."""

    def __init__(self):
        self.state = None       # until when

    def __iter__(self):
        return self

    def __next__(self):
        if self.state is None:
            raise StopIteration
        _task_queue.push(cur_task, self.state)
        self.state = None


_sleep = SingletonGenerator()


def sleep_ms(t):
    _sleep.state = ticks_add(ticks(), max(0, t))
    return _sleep


def sleep(t):
    return sleep_ms(int(t * 1000))


class IOQueue:
    """The tasks that wait for streams to become readable (1) or writable (4)."""

    def __init__(self):
        self.waiting = []       # (task, stream, what for)

    def _add(self, stream, flag):
        self.waiting.append((cur_task, stream, flag))
        cur_task.data = self

    def queue_read(self, s):
        self._add(s, 1)

    def queue_write(self, s):
        self._add(s, 4)

    def remove(self, task):
        self.waiting = [each for each in self.waiting if each[0] is not task]

    def wait_io_event(self, dt):
        """Schedules the tasks whose streams are ready; else lets `dt` ms pass (below 0 is for ever), or less where something happens."""
        from select import _events, _pause
        ready = [each for each in self.waiting if _events(each[1], each[2])]
        for each in ready:
            self.waiting.remove(each)
            _task_queue.push(each[0])
        if not ready and dt:
            _pause([each[1] for each in self.waiting], dt)


_io_queue = IOQueue()
core = __import__("asyncio")    # a module of its own elsewhere
