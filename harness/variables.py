"""Environment variables that change what a pipeline computes, of torch, torch_npu, diffusers and what lies under them.

One table, so that ``harness doctor`` and the records of a run know the same ones. A variable that only changes speed,
memory or logs has no place here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Variable(NamedTuple):
    """One variable, or a family of variables."""

    name: str
    """Its name; a family ends in ``*``."""
    effect: str
    """What it changes, to be read after the name."""
    source: str
    """Where that is documented or can be read: a document, or repository and file."""


_ATEN = "github.com/pytorch/pytorch: aten/src/ATen"
_TORCH_NPU = "github.com/Ascend/pytorch: docs, environment variables"
_CANN = "hiascend.com: CANN documentation, environment variables"
_ATB = "hiascend.com: ATB and MindIE documentation, deterministic computing"
_MKL = "oneMKL developer guide, environment variables"
_ONEDNN = "oneDNN developer guide, run-time controls"
_OPENMP = "OpenMP specification 5.2, chapter 21"
_NCCL = "NCCL documentation, environment variables"

SET_FOR_WORKERS: Mapping[str, str] = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONUNBUFFERED": "1",
}
"""What the harness sets for every worker: no network, no forked tokenizers, and logs that are whole after a crash."""

OF_THE_HARNESS = (*SET_FOR_WORKERS, "HF_MODULES_CACHE", "PYTHONPATH")
"""Variables that belong to the harness in a worker."""

TABLE = (
    # --- the CPU ---
    Variable(
        "ATEN_CPU_CAPABILITY", "sets the instruction set of torch's own kernels", f"{_ATEN}/native/DispatchStub.cpp"
    ),
    Variable("TORCH_LINEAR_FLATTEN_3D", "sets how linear layers see their input", f"{_ATEN}/native/Linear.cpp"),
    Variable(
        "TORCH_MKLDNN_MATMUL_*", "sets which matrix products oneDNN computes", f"{_ATEN}/native/mkldnn/Matmul.cpp"
    ),
    Variable("ONEDNN_DEFAULT_FPMATH_MODE", "lets float32 be computed in fewer bits", _ONEDNN),
    Variable("DNNL_DEFAULT_FPMATH_MODE", "lets float32 be computed in fewer bits", _ONEDNN),
    Variable("ONEDNN_MAX_CPU_ISA", "sets the instruction set of oneDNN", _ONEDNN),
    Variable("DNNL_MAX_CPU_ISA", "sets the instruction set of oneDNN", _ONEDNN),
    Variable("ONEDNN_CPU_ISA_HINTS", "sets the vector width of oneDNN", _ONEDNN),
    Variable("DNNL_CPU_ISA_HINTS", "sets the vector width of oneDNN", _ONEDNN),
    Variable("MKL_CBWR", "sets how far MKL's results repeat", _MKL),
    Variable("MKL_ENABLE_INSTRUCTIONS", "sets the instruction set of MKL", _MKL),
    Variable("MKL_DISABLE_FAST_MM", "sets how MKL multiplies matrices", _MKL),
    Variable("MKL_NUM_STRIPES", "sets how MKL divides matrix products", _MKL),
    Variable("MKL_DYNAMIC", "lets MKL choose the number of threads", _MKL),
    Variable("MKL_NUM_THREADS", "sets the number of threads, by which sums are divided", _MKL),
    Variable("MKL_DOMAIN_NUM_THREADS", "sets the number of threads, by which sums are divided", _MKL),
    Variable("OMP_NUM_THREADS", "sets the number of threads, by which sums are divided", _OPENMP),
    Variable("OMP_THREAD_LIMIT", "sets the number of threads, by which sums are divided", _OPENMP),
    Variable("OMP_DYNAMIC", "lets OpenMP choose the number of threads", _OPENMP),
    Variable("KMP_DETERMINISTIC_REDUCTION", "sets the order of OpenMP's sums", "OpenMP runtime of LLVM, documentation"),
    Variable("OPENBLAS_CORETYPE", "sets the instruction set of OpenBLAS", "github.com/OpenMathLib/OpenBLAS: README"),
    Variable(
        "OPENBLAS_NUM_THREADS",
        "sets the number of threads, by which sums are divided",
        "github.com/OpenMathLib/OpenBLAS: README",
    ),
    Variable("PYTHONHASHSEED", "sets the order of Python's sets of strings", "Python documentation, command line"),
    # --- CUDA ---
    Variable(
        "NVIDIA_TF32_OVERRIDE", "turns TF32 on or off in all of NVIDIA's libraries", "cuBLAS and cuDNN documentation"
    ),
    Variable(
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "turns TF32 on or off in torch's matrix products", f"{_ATEN}/Context.h"
    ),
    Variable(
        "CUBLAS_WORKSPACE_CONFIG", "sets whether cuBLAS repeats its results", "cuBLAS documentation, reproducibility"
    ),
    Variable("CUBLASLT_WORKSPACE_SIZE", "sets which algorithms cuBLASLt may take", f"{_ATEN}/cuda/CUDABlas.cpp"),
    Variable("TORCH_BLAS_PREFER_*", "sets the library of matrix products", f"{_ATEN}/Context.h"),
    Variable("TORCH_LINALG_PREFER_*", "sets the library of linear algebra", f"{_ATEN}/Context.h"),
    Variable("TORCH_CUDNN_USE_HEURISTIC_MODE_B", "sets how convolutions are chosen", f"{_ATEN}/native/ConvUtils.h"),
    Variable("TORCH_CUDNN_V8_API_DISABLED", "sets how convolutions are chosen", f"{_ATEN}/native/ConvUtils.h"),
    Variable("PYTORCH_TUNABLEOP_*", "lets the fastest kernel be chosen by measuring", f"{_ATEN}/cuda/tunable"),
    Variable("PYTORCH_MIOPEN_SUGGEST_*", "sets the memory layout of convolutions", f"{_ATEN}/native/ConvUtils.h"),
    Variable("TORCH_ROCM_*", "sets the attention kernels of ROCm", f"{_ATEN}/Context.h"),
    Variable(
        "TRITON_F32_DEFAULT",
        "sets the precision of float32 products in Triton",
        "github.com/triton-lang/triton: README",
    ),
    Variable("TRITON_INTERPRET", "runs Triton's kernels on the CPU", "github.com/triton-lang/triton: README"),
    # --- compilers of torch ---
    Variable("PYTORCH_JIT", "turns TorchScript on or off", "PyTorch documentation, TorchScript"),
    Variable("PYTORCH_TENSOREXPR*", "sets the fusions of TorchScript", "github.com/pytorch/pytorch: torch/csrc/jit"),
    Variable(
        "TORCHINDUCTOR_*",
        "sets how torch.compile makes kernels",
        "github.com/pytorch/pytorch: torch/_inductor/config.py",
    ),
    Variable(
        "TORCHDYNAMO_*", "sets what torch.compile compiles", "github.com/pytorch/pytorch: torch/_dynamo/config.py"
    ),
    Variable(
        "TORCH_COMPILE_*", "sets what torch.compile compiles", "github.com/pytorch/pytorch: torch/compiler/config.py"
    ),
    # --- diffusers and transformers ---
    Variable(
        "DIFFUSERS_ATTN_BACKEND",
        "sets the attention kernel of diffusers' models",
        "diffusers documentation, attention backends",
    ),
    Variable("DIFFUSERS_GGUF_CUDA_KERNELS", "sets the kernels of GGUF weights", "diffusers documentation, GGUF"),
    Variable(
        "NPU_FA2_SPARSE_MODE",
        "sets how the causal mask of the language model is aligned",
        "github.com/huggingface/transformers: src/transformers/integrations/npu_flash_attention.py",
    ),
    # --- Ascend ---
    Variable("TORCH_TRANSFER_TO_NPU", "redirects torch.cuda to the NPU", _TORCH_NPU),
    Variable(
        "TORCH_NPU_USE_COMPATIBLE_IMPL", "sets whether gelu, matmul and max_pool are computed as torch does", _TORCH_NPU
    ),
    Variable("TORCH_NPU_LEGACY_IMPL_LIST", "brings older operators and the older random stream back", _TORCH_NPU),
    Variable("TORCH_NPU_LAZY_FUSION", "fuses operators while they run", _TORCH_NPU),
    Variable("TORCH_NPU_FALLBACK_CPU_DISABLE", "sets whether operators without a kernel run on the CPU", _TORCH_NPU),
    Variable("TORCHINDUCTOR_NPU_BACKEND", "sets how torch.compile makes kernels", _TORCH_NPU),
    Variable("INF_NAN_MODE_ENABLE", "sets whether infinity and NaN are kept", _TORCH_NPU),
    Variable("INF_NAN_MODE_FORCE_DISABLE", "sets whether infinity and NaN are kept", _TORCH_NPU),
    Variable("ACL_PRECISION_MODE", "sets in which type operators compute", _TORCH_NPU),
    Variable("ACL_OP_SELECT_IMPL_MODE", "sets whether operators are precise or fast", _TORCH_NPU),
    Variable("ACL_OPTYPELIST_FOR_IMPLMODE", "sets which operators are precise or fast", _TORCH_NPU),
    Variable("NPU_FUZZY_COMPILE_BLACKLIST", "sets for which shapes operators are compiled", _TORCH_NPU),
    Variable("COMBINED_ENABLE", "joins operators that change the layout", _TORCH_NPU),
    Variable("CLOSE_MATMUL_K_SHIFT", "sets the order of the sums of matrix products", _CANN),
    Variable("ASCEND_CUSTOM_OPP_PATH", "puts other operators in the place of CANN's", _CANN),
    Variable("ASCEND_OPP_PATH", "sets where operators come from", _CANN),
    Variable("HCCL_DETERMINISTIC", "sets the order of sums over cards", _CANN),
    Variable("HCCL_ALGO", "sets the order of sums over cards", _CANN),
    Variable("HCCL_OP_EXPANSION_MODE", "sets where sums over cards are computed", _CANN),
    Variable("LCCL_DETERMINISTIC", "sets the order of sums over cards", _ATB),
    Variable("ATB_MATMUL_SHUFFLE_K_ENABLE", "sets the order of the sums of ATB's matrix products", _ATB),
    Variable("ATB_LLM_LCOC_ENABLE", "lets ATB compute and communicate at once", _ATB),
    # --- several GPUs ---
    Variable("NCCL_ALGO", "sets the order of sums over GPUs", _NCCL),
    Variable("NCCL_PROTO", "sets the order of sums over GPUs", _NCCL),
    Variable("NCCL_NVLS_ENABLE", "sets where sums over GPUs are computed", _NCCL),
)
"""Every variable known to change numbers; those of one library stand together."""

HARMLESS = frozenset({"TORCHINDUCTOR_CACHE_DIR"})
"""Members of families that change no number; torch sets this one itself while it is imported."""


def known(name: str) -> Variable | None:
    """The entry of a variable; None for one that is not in the table.

    >>> known("TORCHINDUCTOR_MAX_AUTOTUNE").name
    'TORCHINDUCTOR_*'
    >>> known("HOME")
    """
    if name in HARMLESS:
        return None
    exact = (entry for entry in TABLE if entry.name == name)
    families = (entry for entry in TABLE if entry.name.endswith("*") and name.startswith(entry.name[:-1]))
    return next(exact, next(families, None))


def set_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of the table that are set, by name.

    >>> set_in({"HOME": "/home/me", "DIFFUSERS_ATTN_BACKEND": "flash"})
    {'DIFFUSERS_ATTN_BACKEND': 'flash'}
    """
    return {name: value for name, value in sorted(environment.items()) if known(name)}
