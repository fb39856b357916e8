"""Log records on their way to the program, bounded however fast they come."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable

#: So many records may come at once, and so many a second for long.
_BURST = 200.0
_PER_SECOND = 50.0
_MOST_TEXT = 4000


class LogHandler(logging.Handler):
    """Hands records to ``send`` as {level, logger, text}; counts what is too much and says so later."""

    def __init__(
        self, send: Callable[[dict[str, Any]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._send = send
        self._clock = clock
        self._allowed = _BURST
        self._last = clock()
        self._left_out = 0
        self._inside = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(self._inside, "busy", False):
            return
        self._inside.busy = True
        try:
            if not self._allow():
                self._left_out += 1
                return
            if self._left_out:
                left_out, self._left_out = self._left_out, 0
                self._send(
                    {"level": "warning", "logger": "dtranspose", "text": f"{left_out} log records left out"}
                )
            text = self.format(record)
            if len(text) > _MOST_TEXT:
                text = text[:_MOST_TEXT] + " ..."
            self._send({"level": record.levelname.lower(), "logger": record.name, "text": text})
        except Exception:
            pass  # a log must not stop what it tells of
        finally:
            self._inside.busy = False

    def _allow(self) -> bool:
        now = self._clock()
        self._allowed = min(_BURST, self._allowed + (now - self._last) * _PER_SECOND)
        self._last = now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True
