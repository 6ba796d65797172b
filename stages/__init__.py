"""The stages of the pipeline."""

import atexit
import gc
import os

# polars' allocator hands freed memory back after half a second and asks for it again with the next block: a tenth
# of the processor time of cleaning. Ten seconds is the allocator's own default. It is read when polars is loaded.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:10000")

# Libraries make a million objects that live as long as the process; to look through them for garbage again and again
# takes longer than to make them, and at the end it is for nothing.
gc.set_threshold(300_000, 20, 20)
atexit.register(gc.freeze)
