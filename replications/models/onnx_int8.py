"""BERT encoders inside ONNX files that onnxruntime quantised to int8: read, and de-quantised to float32.

Of the file only the graph is wanted: the nodes with their inputs and outputs, and the stored tensors. The quantiser
stores a weight `w` as w_quantized (8 bits), w_scale and w_zero_point: w = scale · (quantized - zero point). A linear
layer's weight has lost its name and lies transposed; the bias that the graph adds to its product has kept its own.

DistilBERT is BERT without token types and pooling layer, under other names: it becomes a BertModel whose only token
type is zero, which computes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from replications import files
from replications.catalogue import folders
from replications.errors import Refusal

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

DTYPES = (1, 2, 3)  # TensorProto's FLOAT, UINT8 and INT8; the shapes' integers are not wanted
RANK = 8  # numbers of a tensor's shape, at most
SUFFIXES = QUANTISED, SCALE, ZERO_POINT = "_quantized", "_scale", "_zero_point"
WORDS, POSITIONS, TYPES = (f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type"))
DISTILBERT = {
    "transformer.layer.": "encoder.layer.",
    "attention.q_lin.": "attention.self.query.",
    "attention.k_lin.": "attention.self.key.",
    "attention.v_lin.": "attention.self.value.",
    "attention.out_lin.": "attention.output.dense.",
    "sa_layer_norm.": "attention.output.LayerNorm.",
    "ffn.lin1.": "intermediate.dense.",
    "ffn.lin2.": "output.dense.",
    "output_layer_norm.": "output.LayerNorm.",
}
STEPS = ("Cast", "Mul")  # what the quantiser puts between a product and its bias
SPECIAL_TOKENS = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "unk", "mask")}

GraphArray = NDArray[Any]


@dataclass(frozen=True)
class GraphNode:
    """One operation: its type, and the names of the values that it reads and writes."""

    operation: str
    inputs: list[str]
    outputs: list[str]


@dataclass(frozen=True)
class Graph:
    """The operations, and the stored tensors (float32 and 8-bit ones) by name."""

    name: str
    nodes: list[GraphNode]
    tensors: dict[str, GraphArray]

    def dequantised(self, weight: str) -> NDArray[np.float32]:
        """The float32 tensor that is stored as `weight`_quantized. Refuses scales other than one per tensor."""
        stored, scale, zero_point = (self.tensors.get(weight + suffix) for suffix in SUFFIXES)
        if stored is None or scale is None or zero_point is None or scale.size != 1 or zero_point.size != 1:
            raise Refusal(f"{self.name}: tensor {weight} should have 8-bit values, one scale and one zero point")
        try:
            with np.errstate(over="raise", invalid="raise"):
                return (stored.astype(np.float32) - zero_point.item()) * np.float32(scale.item())
        except FloatingPointError:
            raise Refusal(f"{self.name}: the scale of tensor {weight} should be a number, not {scale.item()}") from None


def read(path: Path, name: str) -> Graph:
    """Parse the file. Refuses one that is not ONNX, is cut off, or keeps its tensors elsewhere."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(path, format="protobuf", load_external_data=False)
        if not model.HasField("graph"):
            raise ValueError("it holds no graph")
        nodes = [_node(each) for each in model.graph.node]
        stored = (each for each in model.graph.initializer if each.data_type in DTYPES)
        tensors = {_text(each.name): _tensor(each) for each in stored}
    except (DecodeError, ValueError, TypeError, OverflowError) as error:
        raise Refusal(f"{name} is not an ONNX file, or is cut off or damaged ({error})") from None
    return Graph(name, nodes, tensors)


def _node(stored: NodeProto) -> GraphNode:
    if not stored.output:
        raise ValueError("an operation should write a value")
    return GraphNode(_text(stored.op_type), [*map(_text, stored.input)], [*map(_text, stored.output)])


def _text(stored: str | bytes) -> str:
    """A name; the library hands out as bytes what is no text."""
    if isinstance(stored, bytes):
        raise ValueError(f"name {stored[:40]!r} should be UTF-8")
    return stored


def _tensor(stored: TensorProto) -> GraphArray:
    """The values, whichever way they are stored; other files are not looked into, wherever they lie."""
    from onnx import numpy_helper

    if stored.external_data or stored.data_location:
        raise ValueError(f"tensor {stored.name} should lie in this file, not in another one")
    if len(stored.dims) > RANK or min(stored.dims, default=0) < 0:
        raise ValueError(f"tensor {stored.name} should have at most {RANK} sizes, none below 0")
    try:
        return numpy_helper.to_array(stored)
    except ValueError as error:
        raise ValueError(f"tensor {stored.name}: {error}") from None


def state_dict(graph: Graph) -> dict[str, NDArray[np.float32]]:
    """The encoder's tensors by the names of transformers' BertModel without a pooling layer; heads are left out."""
    plain = {name: value for name, value in graph.tensors.items() if name.endswith((".weight", ".bias"))}
    stored = [name.removesuffix(QUANTISED) for name in graph.tensors if name.endswith(".weight" + QUANTISED)]
    weights = plain | {name: graph.dequantised(name) for name in stored} | _linear_weights(graph)
    parts = ((name.partition("."), value) for name, value in weights.items())
    found = {_bert_name(rest): value for (model, _, rest), value in parts if model in ("bert", "distilbert")}
    if WORDS in found and found[WORDS].size:
        found.setdefault(TYPES, np.zeros((1, *found[WORDS].shape[1:]), np.float32))
    return found


def _linear_weights(graph: Graph) -> dict[str, NDArray[np.float32]]:
    """Weights [out, in] of the linear layers, each named after the bias that is added to its product."""
    reader = {value: node for node in graph.nodes for value in node.inputs}
    found = {}
    for node in graph.nodes:
        if node.operation == "MatMulInteger" and len(node.inputs) > 1 and node.inputs[1] in graph.tensors:
            after = _adder(graph, node, reader)
            biases = [value for value in (after.inputs if after else []) if value.endswith(".bias")]
            if not biases:
                raise Refusal(f"{graph.name}: no bias is added to the product with {node.inputs[1]}, so it has no name")
            weight = graph.dequantised(node.inputs[1].removesuffix(QUANTISED))
            found[biases[0].removesuffix("bias") + "weight"] = weight.T
    return found


def _adder(graph: Graph, product: GraphNode, reader: dict[str, GraphNode]) -> GraphNode | None:
    """What reads a product after it was cast back to float and multiplied by both scales. Refuses a circle."""
    after, seen = reader.get(product.outputs[0]), set()
    while after is not None and after.operation in STEPS:
        value = after.outputs[0]
        if value in seen:
            raise Refusal(f"{graph.name}: the operations after the product with {product.inputs[1]} form a circle")
        seen.add(value)
        after = reader.get(value)
    return after


def _bert_name(name: str) -> str:
    for theirs, ours in DISTILBERT.items():
        name = name.replace(theirs, ours)
    return name


def shape(weights: dict[str, NDArray[np.float32]], heads: int, name: str) -> dict[str, int]:
    """Keyword arguments of transformers' BertConfig, from the tensors; the number of heads is not among them."""
    inner = "encoder.layer.0.intermediate.dense.bias"
    ranks = {WORDS: 2, POSITIONS: 2, TYPES: 2, inner: 1}
    if wrong := [key for key, rank in ranks.items() if key not in weights or weights[key].ndim != rank]:
        raise Refusal(f"{name} does not hold the tensors of a BertModel: {wrong[0]} is missing or of another rank")
    if empty := [key for key in ranks if not weights[key].size]:
        raise Refusal(f"{name} does not hold the tensors of a BertModel: {empty[0]} has no values")
    words, width = weights[WORDS].shape
    layers = {key.split(".")[2] for key in weights if key.startswith("encoder.layer.")}
    if len(layers) > len(weights) // 2:
        raise Refusal(f"{name} does not hold the tensors of a BertModel: {len(layers)} layers are named, few are there")
    if width % heads:
        raise Refusal(f"{name} is {width} wide, which {heads} heads do not divide: the catalogue's n_heads is wrong")
    return {
        "vocab_size": words,
        "hidden_size": width,
        "max_position_embeddings": len(weights[POSITIONS]),
        "type_vocab_size": len(weights[TYPES]),
        "intermediate_size": len(weights[inner]),
        "num_hidden_layers": len(layers),
        "num_attention_heads": heads,
    }


def convert(path: Path, folder: Path, name: str, heads: int) -> None:
    """Write config.json, model.safetensors (float32) and tokenizer_config.json into `folder`.

    The tokenizer comes as tokenizer.json beside the graph and is used as it is: BERT's own class would lower its case.
    """
    weights = state_dict(read(path, name))
    folders.write_encoder(folder, shape(weights, heads, name), weights, name)
    files.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL_TOKENS})
