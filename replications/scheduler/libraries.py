"""What nearly every stage imports and what takes long: loaded once, by the process that stages are forked from."""

import pandas  # noqa: F401
import scipy.stats  # noqa: F401
import torch  # noqa: F401
import transformer_lens.model_bridge  # noqa: F401
import transformers.modeling_utils  # noqa: F401
