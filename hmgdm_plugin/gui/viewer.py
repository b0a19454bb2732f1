"""The slide with its overlay: pan by dragging, zoom with the wheel, objects in colour, legend and scale bar."""

from __future__ import annotations

from PyQt5.QtCore import QPointF, QRect, QRectF, Qt
from PyQt5.QtGui import (
    QBrush,
    QColor,
    QFont,
    QLinearGradient,
    QPainter,
    QPainterPath,
    QPen,
    QPolygonF,
    QResizeEvent,
    QWheelEvent,
)
from PyQt5.QtWidgets import QGraphicsItem, QGraphicsScene, QGraphicsView, QStyleOptionGraphicsItem, QWidget

from ..slide.reader import Slide
from .results import CLASSES, RGB, Group, ramp
from .tissue import SlideItem

STEP = 1.25  # zoom of one notch of the wheel
CLOSEST = 8.0  # pixels of the screen per level-0 pixel
BAR_PX, MARGIN = 140, 14


class ObjectsItem(QGraphicsItem):
    """Objects of one group as filled outlines, coloured by one layer."""

    def __init__(self, group: Group) -> None:
        super().__init__()
        self._paths = []
        self._brushes: list[QBrush | None] = []
        for rings in group.rings:
            path = QPainterPath()
            for ring in rings:
                path.addPolygon(QPolygonF([QPointF(x, y) for x, y in ring]))
            self._paths.append(path)
        self._boxes = [path.boundingRect() for path in self._paths]
        self._bounds = QRectF()
        for box in self._boxes:
            self._bounds |= box
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemUsesExtendedStyleOption)

    def colour(self, colours: list[RGB | None]) -> None:
        """Colour each object; those without a colour are drawn as outlines only."""
        self._brushes = [None if rgb is None else QBrush(QColor(*rgb)) for rgb in colours]
        self.update()

    def boundingRect(self) -> QRectF:
        """All objects."""
        return self._bounds

    def paint(
        self, painter: QPainter | None, option: QStyleOptionGraphicsItem | None, widget: QWidget | None = None
    ) -> None:
        """Draw the objects that are exposed; outlines only where they would not hide everything."""
        assert painter is not None
        assert option is not None
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        scale = option.levelOfDetailFromTransform(painter.worldTransform())
        pen = QPen(QColor(255, 255, 255, 160), 0)
        for path, box, brush in zip(self._paths, self._boxes, self._brushes, strict=True):
            if not box.intersects(option.exposedRect):
                continue
            painter.setPen(pen if box.width() * scale > 6 else QPen(Qt.PenStyle.NoPen))
            painter.setBrush(brush if brush is not None else QBrush(Qt.BrushStyle.NoBrush))
            painter.drawPath(path)


class Viewer(QGraphicsView):
    """Shows one slide and at most one layer of one group over it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene = QGraphicsScene(self)
        self.setScene(self._scene)
        self.setDragMode(QGraphicsView.DragMode.ScrollHandDrag)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorUnderMouse)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.FullViewportUpdate)
        self.setBackgroundBrush(QColor(245, 245, 245))
        self._slide: SlideItem | None = None
        self._objects: ObjectsItem | None = None
        self._group: Group | None = None
        self._layer = ""
        self._fitted = True

    def show_slide(self, slide: Slide) -> None:
        """Show `slide` whole; what was shown before is closed."""
        self.clear()
        self._slide = SlideItem(slide)
        self._scene.addItem(self._slide)
        self._scene.setSceneRect(self._slide.boundingRect())
        self.whole()

    def clear(self) -> None:
        """Show nothing."""
        if self._slide is not None:
            self._slide.close()
        self._scene.clear()
        self._slide = self._objects = self._group = None

    def whole(self) -> None:
        """Fit the slide into the window, and keep it so until somebody zooms."""
        self._fitted = True
        self.fitInView(self._scene.sceneRect(), Qt.AspectRatioMode.KeepAspectRatio)

    def show_layer(self, group: Group | None, layer: str, opacity: float) -> None:
        """Draw `layer` of `group` over the slide; None takes the overlay away."""
        if group is not self._group:
            if self._objects is not None:
                self._scene.removeItem(self._objects)
            self._objects = None if group is None else ObjectsItem(group)
            if self._objects is not None:
                self._scene.addItem(self._objects)
        self._group, self._layer = group, layer
        if group is not None and self._objects is not None:
            self._objects.colour(group.colours(layer))
            self._objects.setOpacity(opacity)
        self.redraw()

    def redraw(self) -> None:
        """Draw legend and scale bar anew."""
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fit again, where the whole slide was shown."""
        super().resizeEvent(event)
        if self._fitted and self._slide is not None:
            self.whole()

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Zoom at the mouse."""
        assert event is not None
        factor = STEP if event.angleDelta().y() > 0 else 1 / STEP
        if factor < 1 or self.transform().m11() < CLOSEST:
            self._fitted = False
            self.scale(factor, factor)

    def drawForeground(self, painter: QPainter | None, rect: QRectF) -> None:
        """Scale bar and legend, in pixels of the screen."""
        if painter is None or self._slide is None:
            return
        painter.save()
        painter.resetTransform()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(QFont("sans-serif", 9))
        self._scale_bar(painter)
        if self._group is not None:
            self._legend(painter)
        painter.restore()

    def _shown(self) -> QRect:
        """What is seen, without scroll bars, in pixels of the screen."""
        viewport = self.viewport()
        return self.rect() if viewport is None else viewport.rect()

    def _scale_bar(self, painter: QPainter) -> None:
        assert self._slide is not None
        um_per_pixel = self._slide.slide.frame.mpp / max(self.transform().m11(), 1e-9)
        length_um = nice(BAR_PX * um_per_pixel)
        width, bottom = length_um / um_per_pixel, self._shown().height() - MARGIN
        text = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
        painter.fillRect(QRectF(MARGIN - 6, bottom - 26, width + 12, 32), QColor(255, 255, 255, 210))
        painter.fillRect(QRectF(MARGIN, bottom - 4, width, 4), QColor(0, 0, 0))
        painter.setPen(QColor(0, 0, 0))
        painter.drawText(QRectF(MARGIN, bottom - 24, width, 18), Qt.AlignmentFlag.AlignCenter, text)

    def _legend(self, painter: QPainter) -> None:
        assert self._group is not None
        classes = self._group.legend() if self._layer == CLASSES else []
        bare = any(self._group.left_out(self._layer))
        height = (22 * len(classes) + 12 if classes else 62) + 20 * bare
        left, top = self._shown().width() - 240 - MARGIN, MARGIN
        painter.fillRect(QRectF(left, top, 240, height), QColor(255, 255, 255, 225))
        painter.setPen(QColor(0, 0, 0))
        for number, (name, rgb) in enumerate(classes):
            y = top + 8 + 22 * number
            painter.fillRect(QRectF(left + 8, y, 14, 14), QColor(*rgb))
            painter.drawText(QRectF(left + 30, y - 3, 205, 20), Qt.AlignmentFlag.AlignVCenter, name)
        if not classes:
            self._ramp(painter, left, top)
        if bare:
            where = QRectF(left + 8, top + height - 22, 226, 18)
            painter.drawText(where, Qt.AlignmentFlag.AlignVCenter, "without colour: too little tissue")

    def _ramp(self, painter: QPainter, left: float, top: float) -> None:
        assert self._group is not None
        low, high, two = self._group.span(self._layer)
        gradient = QLinearGradient(left + 8, 0, left + 232, 0)
        for k in range(11):
            gradient.setColorAt(k / 10, QColor(*ramp(k / 10, two)))
        painter.fillRect(QRectF(left + 8, top + 26, 224, 12), QBrush(gradient))
        name = self._layer.removeprefix("HMGDM: ")
        painter.drawText(QRectF(left + 8, top + 4, 226, 20), Qt.AlignmentFlag.AlignVCenter, name)
        painter.drawText(QRectF(left + 8, top + 40, 110, 18), Qt.AlignmentFlag.AlignLeft, readable(low))
        painter.drawText(QRectF(left + 122, top + 40, 110, 18), Qt.AlignmentFlag.AlignRight, readable(high))


def readable(value: float) -> str:
    """A number with three digits that matter, written out."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def nice(longest: float) -> float:
    """The longest of 1, 2, 5 times a power of ten that is at most `longest`."""
    power = 10.0 ** len(str(int(longest))) if longest >= 1 else 1.0
    while power > longest:
        power /= 10
    return max(step * power for step in (1, 2, 5) if step * power <= longest)
