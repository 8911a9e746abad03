"""Rescalings of an ONNX graph that change its numbers on the way and not what it computes.

    norm         gamma, beta of a channel x f       rows of the next matrices / f
    attention    a column of the values' matrix x f row of the output's matrix / f
    gate         a column of the linear half x f    row of the next matrix / f
    skip         rows of convolutions before a Concat x f   columns of those behind it / f
    direction    an input x (1 + (s - 1) u u^T)     matrices that read it x (1 + (1/s - 1) u u^T)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Slot:
    """An input of a node that a constant gives, and the axis along which channels lie there."""

    node: int
    index: int
    axis: int
    first: int = 0  # where the channels begin


@dataclass(frozen=True)
class Place:
    """Channels between what may be multiplied and what may be divided by the same factors."""

    kind: str
    name: str
    channels: int
    multiplied: tuple[Slot, ...]
    divided: tuple[Slot, ...]


class Graph:
    """A model whose constants may be changed, each node's for itself."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self._constants = {entry.name: entry for entry in model.graph.initializer}
        self._maker = {name: i for i, node in enumerate(self.nodes) for name in node.output}
        self._readers: dict[str, list[tuple[int, int]]] = {}
        for i, node in enumerate(self.nodes):
            for index, name in enumerate(node.input):
                self._readers.setdefault(name, []).append((i, index))
        self._results = {entry.name for entry in model.graph.output}

    def shape(self, node: int, index: int) -> tuple[int, ...] | None:
        """Shape of a constant input; None if it is none."""
        name = self.nodes[node].input[index] if index < len(self.nodes[node].input) else ""
        return tuple(self._constants[name].dims) if name in self._constants else None

    def maker(self, name: str, *types: str) -> int | None:
        """The node that gives a tensor, if it is of one of these types."""
        made = self._maker.get(name)
        return made if made is not None and self.nodes[made].op_type in types else None

    def readers(self, name: str) -> list[tuple[int, int]] | None:
        """Who reads the numbers of a tensor; None if it also is a result."""
        if name in self._results:
            return None
        found = self._readers.get(name, [])
        return [(i, index) for i, index in found if self.nodes[i].op_type != "Shape"]

    def back(self, name: str, *types: str) -> str:
        """What a tensor was before nodes of these types, which nobody else reads."""
        made = self.maker(name, *types)
        while made is not None and self.has_one_reader(name):
            name = self.nodes[made].input[0]
            made = self.maker(name, *types)
        return name

    def has_one_reader(self, name: str) -> bool:
        return len(self.readers(name) or []) == 1

    def constant(self, slot: Slot) -> Array:
        name = self.nodes[slot.node].input[slot.index]
        return np.asarray(numpy_helper.to_array(self._constants[name]))

    def replace(self, slot: Slot, value: Array) -> None:
        """Gives a node's input a constant of its own, or changes the one that only it reads."""
        name = self.nodes[slot.node].input[slot.index]
        old = self._constants[name]
        changed = numpy_helper.from_array(value.astype(numpy_helper.to_array(old).dtype), name)
        if len(self._readers[name]) == 1:
            old.CopyFrom(changed)
            return
        changed.name = f"{name}/of/{self.nodes[slot.node].output[0]}"
        self.model.graph.initializer.append(changed)
        self._constants[changed.name] = self.model.graph.initializer[-1]
        self._readers[name].remove((slot.node, slot.index))
        self._readers[changed.name] = [(slot.node, slot.index)]
        self.nodes[slot.node].input[slot.index] = changed.name

    def scale(self, slot: Slot, factors: Array) -> None:
        value = self.constant(slot)
        whole = np.ones(value.shape[slot.axis], np.float64)
        whole[slot.first : slot.first + len(factors)] = factors
        shape = [1] * value.ndim
        shape[slot.axis] = -1
        self.replace(slot, value * whole.reshape(shape))

    def apply(self, place: Place, factors: Array) -> None:
        for slot in place.multiplied:
            self.scale(slot, factors)
        for slot in place.divided:
            self.scale(slot, 1 / factors)


def _other(graph: Graph, node: int) -> tuple[int, int] | None:
    """Indices of the constant and of the other input of a node with two."""
    for constant in (0, 1):
        if graph.shape(node, constant) is not None and graph.shape(node, 1 - constant) is None:
            return constant, 1 - constant
    return None


def _matrices(graph: Graph, name: str, channels: int) -> tuple[Slot, ...] | None:
    """The matrices that read a tensor's last dimension, if nothing else reads it."""
    readers, found = graph.readers(name), []
    for node, index in readers or []:
        if graph.nodes[node].op_type != "MatMul" or index != 0 or graph.shape(node, 1) is None:
            return None
        if (graph.shape(node, 1) or ())[0] != channels:
            return None
        found.append(Slot(node, 1, 0))
    return tuple(found) or None


def _layer_norms(graph: Graph) -> Iterator[Place]:
    for i, node in enumerate(graph.nodes):
        gamma = graph.shape(i, 1)
        if node.op_type != "LayerNormalization" or gamma is None or len(gamma) != 1:
            continue
        matrices = _matrices(graph, node.output[0], gamma[0])
        scaled = [Slot(i, 1, 0)] + ([Slot(i, 2, 0)] if graph.shape(i, 2) == gamma else [])
        if matrices and (len(node.input) < 3 or len(scaled) == 2):
            yield Place("norm", node.name, gamma[0], tuple(scaled), matrices)


def _producing_matrix(graph: Graph, name: str) -> tuple[int, tuple[Slot, ...]] | None:
    """The columns that make a tensor, and their bias."""
    slots: list[Slot] = []
    add = graph.maker(name, "Add")
    if add is not None:
        sides = _other(graph, add)
        if sides is None or len(graph.shape(add, sides[0]) or ()) != 1:
            return None
        slots.append(Slot(add, sides[0], 0))
        name = graph.nodes[add].input[sides[1]]
        if not graph.has_one_reader(name):
            return None
    matrix = graph.maker(name, "MatMul")
    shape = graph.shape(matrix, 1) if matrix is not None else None
    if matrix is None or shape is None or len(shape) != 2:
        return None
    return shape[1], (*slots, Slot(matrix, 1, 1))


def _attentions(graph: Graph) -> Iterator[Place]:
    moves = ("Reshape", "Transpose", "Cast")
    for i, node in enumerate(graph.nodes):
        shape = graph.shape(i, 1)
        if node.op_type != "MatMul" or not shape or not graph.has_one_reader(node.input[0]):
            continue
        product = graph.maker(graph.back(node.input[0], *moves), "MatMul")
        if product is None or not graph.has_one_reader(graph.nodes[product].output[0]):
            continue
        scores, values = graph.nodes[product].input
        if graph.maker(graph.back(scores, "Cast"), "Softmax") is None:
            continue
        root = graph.back(values, *moves)
        made = _producing_matrix(graph, root)
        if made and made[0] == shape[0] and graph.has_one_reader(root):
            yield Place("attention", node.name, shape[0], made[1], (Slot(i, 1, 0),))


def _gates(graph: Graph) -> Iterator[Place]:
    for i, node in enumerate(graph.nodes):
        shape = graph.shape(i, 1)
        product = graph.maker(node.input[0], "Mul") if node.op_type == "MatMul" and shape else None
        if product is None or not shape or not graph.has_one_reader(node.input[0]):
            continue
        for name in graph.nodes[product].input:
            half = graph.maker(name, "Slice")
            if half is None or not graph.has_one_reader(name):
                continue
            made = _producing_matrix(graph, graph.nodes[half].input[0])
            if made is None or made[0] != 2 * shape[0]:
                continue
            first = 0 if _is_zero(graph, graph.nodes[half].input[1]) else shape[0]
            slots = tuple(Slot(slot.node, slot.index, slot.axis, first) for slot in made[1])
            yield Place("gate", node.name, shape[0], slots, (Slot(i, 1, 0),))


def _producing_convolutions(graph: Graph, name: str) -> tuple[Slot, ...] | None:
    """Rows that make a tensor that nothing else reads, of a convolution or of a sum of two."""
    if not graph.has_one_reader(name):
        return None
    name = graph.back(name, "Div")
    node = graph.maker(name, "Conv", "Add")
    if node is None:
        return None
    if graph.nodes[node].op_type == "Conv":
        inputs = range(1, len(graph.nodes[node].input))
        known = all(graph.shape(node, index) for index in inputs)
        return tuple(Slot(node, index, 0) for index in inputs) if known else None
    slots: tuple[Slot, ...] = ()
    for term in graph.nodes[node].input:
        made = _producing_convolutions(graph, term) if graph.maker(term, "Conv") else None
        if made is None:
            return None
        slots += made
    return slots


def _joined_readers(graph: Graph, name: str, first: int) -> tuple[Slot, ...] | None:
    """The columns from channel `first` on of convolutions that read a Concat; all else must be
    norms with no group on both sides of that channel. A norm leaves out what its groups have in
    common."""
    slots: list[Slot] = []
    groups = 0
    for node, index in graph.readers(name) or []:
        if graph.nodes[node].op_type == "Conv" and index == 0 and graph.shape(node, 1):
            slots.append(Slot(node, 1, 1))
            continue
        made = graph.nodes[node].output[0]
        readers = graph.readers(made) if graph.nodes[node].op_type == "Reshape" else None
        norms = [i for i, _ in readers or []]
        if len(norms) != 1 or graph.nodes[norms[0]].op_type != "InstanceNormalization":
            return None
        groups = len(_numbers(graph, graph.nodes[norms[0]].input[1]))
    shape = graph.shape(slots[0].node, 1) if slots else None
    if shape is None or groups == 0 or shape[1] % groups or first % (shape[1] // groups):
        return None
    return tuple(slots)


def skips(graph: Graph) -> list[Place]:
    """What comes from below and is joined with what was skipped."""
    found: list[Place] = []
    for node in graph.nodes:
        if node.op_type != "Concat" or len(node.input) != 2:
            continue
        multiplied = _producing_convolutions(graph, node.input[0])
        rows = graph.shape(multiplied[0].node, 1) if multiplied else None
        if not multiplied or not rows:
            continue
        divided = _joined_readers(graph, node.output[0], rows[0])
        if divided:
            found.append(Place("skip", node.name, rows[0], multiplied, divided))
    return found


def _numbers(graph: Graph, name: str) -> Array:
    """Of a Constant node; none of anything else."""
    made = graph.maker(name, "Constant")
    if made is None:
        return np.empty(0)
    values = [entry.t for entry in graph.nodes[made].attribute if entry.name == "value"]
    return np.asarray(numpy_helper.to_array(values[0])) if values else np.empty(0)


def _is_zero(graph: Graph, name: str) -> bool:
    numbers = _numbers(graph, name)
    return numbers.size > 0 and not numbers.any()


def places(graph: Graph) -> list[Place]:
    """All that can be rescaled, in the order of the nodes that read it."""
    found = [*_layer_norms(graph), *_attentions(graph), *_gates(graph)]
    return sorted(found, key=lambda place: place.divided[0].node)


def input_matrices(graph: Graph, name: str) -> tuple[Slot, ...] | None:
    """The matrices that read an input of the model, if nothing else does."""
    for node, _ in graph.readers(name) or []:
        shape = graph.shape(node, 1)
        return _matrices(graph, name, shape[0]) if shape else None
    return None
