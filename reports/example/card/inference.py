"""Make one image with the settings that were validated; further options are those of `harness generate`."""

import os
import subprocess
import sys

VALIDATED = [
    "--model_path",
    "builtin:tiny-deepgen",
    "--adapter",
    "deepgen",
    "--device",
    "cpu",
    "--dtype",
    "bfloat16",
    "--width",
    "128",
    "--height",
    "128",
    "--num_inference_steps",
    "20",
    "--guidance_scale",
    "4.0",
    "--seed",
    "42",
    "--trust_remote_code"
]

words = [os.path.expandvars(word) for word in VALIDATED] + sys.argv[1:]
sys.exit(subprocess.run([sys.executable, "-m", "harness", "generate", *words]).returncode)
