"""RecLab: how a pretrained language model reads what a person wants and turns it into recommendations.

Modules import only downward, and on one level only to the right:

    level 3 | recommend  fusion  senses | a sentence in, recommendations out; one score from many parts; to see and hear
    level 2 | intent  rank        | what does this person want?  which items, in what order?
    level 1 | encoder  bert  training  search | text in, unit vectors out; TensorFlow is loaded here
    level 0 | doctor  device  data  fetch  tables  truth  text  evaluate  plots

`python -m reclab recommend "I want to learn jazz piano"` walks the whole way.
"""

import os

__version__ = "0.1.0"

# Read by libraries while they are first imported; what the user has set stands.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault(
    "TF_CPP_MIN_LOG_LEVEL", "3"
)  # what goes wrong reaches Python as an exception; the rest is chatter
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # float32 is float32; half precision is chosen in `device`
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # a notebook left open must not hold a whole GPU
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that PyTorch is missing; it is not needed
