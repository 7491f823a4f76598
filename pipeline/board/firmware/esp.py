"""esp: what programs ask of it at their beginning."""
LOG_NONE = 0
LOG_ERROR = 1
LOG_WARNING = 2
LOG_INFO = 3
LOG_DEBUG = 4
LOG_VERBOSE = 5


def osdebug(uart_no, level=LOG_ERROR):
    pass


def flash_size():
    return 4194304


def flash_user_start():
    return 2097152
