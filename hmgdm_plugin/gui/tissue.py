"""The slide as a graphics item: squares are read in threads at the scale they are shown, and kept while near."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray
from PyQt5.QtCore import QObject, QRectF, QRunnable, QThreadPool, pyqtSignal
from PyQt5.QtGui import QImage, QPainter, QPixmap
from PyQt5.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from ..schema.errors import InputError
from ..slide.reader import Slide

SQUARE = 256  # pixels of the screen
KEPT = 400  # squares in memory: 100 MB
Key = tuple[int, int, int]  # power of two of the reduction, column, row


class _Signals(QObject):
    read = pyqtSignal(tuple, object)


class _Reader(QRunnable):
    """Reads one square in a thread of the pool."""

    def __init__(self, slide: Slide, key: Key, signals: _Signals) -> None:
        super().__init__()
        self._slide, self._key, self._signals = slide, key, signals

    def run(self) -> None:
        """Read; an unreadable square stays empty."""
        power, column, row = self._key
        side = SQUARE * 2.0**power
        try:
            rgb = self._slide.read(column * side, row * side, side, SQUARE)
        except (InputError, ValueError):  # damaged there, or the slide was closed meanwhile
            return
        self._signals.read.emit(self._key, rgb)


class SlideItem(QGraphicsItem):
    """Draws a slide in level-0 pixels: the thumbnail at once, sharper squares as they arrive."""

    def __init__(self, slide: Slide) -> None:
        super().__init__()
        self.slide = slide
        thumbnail, self._downsample = slide.thumbnail()
        self._thumbnail = pixmap(thumbnail)
        self._squares: OrderedDict[Key, QPixmap] = OrderedDict()
        self._asked: set[Key] = set()
        self._signals = _Signals()
        self._signals.read.connect(self._arrived)
        self._pool = QThreadPool()
        self._pool.setMaxThreadCount(2)
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemUsesExtendedStyleOption)

    def boundingRect(self) -> QRectF:
        """The whole slide."""
        return QRectF(0, 0, self.slide.frame.width_px, self.slide.frame.height_px)

    def paint(
        self, painter: QPainter | None, option: QStyleOptionGraphicsItem | None, widget: QWidget | None = None
    ) -> None:
        """Draw what is exposed from what is there, and ask for what is not."""
        assert painter is not None
        assert option is not None
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(self.boundingRect(), self._thumbnail, QRectF(self._thumbnail.rect()))
        scale = option.levelOfDetailFromTransform(painter.worldTransform())
        power = math.floor(math.log2(1 / max(scale, 1e-6)))
        if 2.0**power >= self._downsample:
            return
        for key in self._exposed(option.exposedRect & self.boundingRect(), max(power, 0)):
            side = SQUARE * 2.0 ** key[0]
            if key in self._squares:
                self._squares.move_to_end(key)
                place = QRectF(key[1] * side, key[2] * side, side, side)
                painter.drawPixmap(place, self._squares[key], QRectF(self._squares[key].rect()))
            elif key not in self._asked:
                self._asked.add(key)
                self._pool.start(_Reader(self.slide, key, self._signals))

    def close(self) -> None:
        """Forget what was asked for, wait for what is being read, close the slide."""
        self._pool.clear()
        self._pool.waitForDone()
        self.slide.close()

    def _exposed(self, rect: QRectF, power: int) -> list[Key]:
        side = SQUARE * 2.0**power
        columns = range(math.floor(rect.left() / side), math.ceil(rect.right() / side))
        rows = range(math.floor(rect.top() / side), math.ceil(rect.bottom() / side))
        return [(power, column, row) for row in rows for column in columns]

    def _arrived(self, key: Key, rgb: NDArray[np.uint8]) -> None:
        self._asked.discard(key)
        self._squares[key] = pixmap(rgb)
        while len(self._squares) > KEPT:
            self._squares.popitem(last=False)
        side = SQUARE * 2.0 ** key[0]
        self.update(QRectF(key[1] * side, key[2] * side, side, side))


def pixmap(rgb: NDArray[np.uint8]) -> QPixmap:
    """An image (H, W, 3) uint8 for the screen."""
    rgb = np.ascontiguousarray(rgb)
    image = QImage(rgb.tobytes(), rgb.shape[1], rgb.shape[0], 3 * rgb.shape[1], QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image.convertToFormat(QImage.Format.Format_RGB32))
