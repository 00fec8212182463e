"""Simulated Ascend cards: the real torch_npu wheel on host memory, with no CANN and no hardware.

How it works. A C stand-in for the CANN libraries (``cann_runtime.c``, ``cann_operators.c``, built by `build`) gives
torch_npu cards whose memory is host memory. For each operator that torch_npu registers for the card, `kernels`
registers one that runs torch_npu's own kernel with launches that do nothing (its checks, error texts, allocations and
choice of inner operators), then writes the CPU's values into the results. `fused` gives the values of operators that
only exist on a card.

Use. For child processes put ``tests/ascend_sim/site``, the folder that holds torch_npu and the project's root on
``PYTHONPATH`` and set ``ASCEND_SIM_DEVICES``; nothing else changes. In one process: `cards.preload` before torch is
imported, ``import torch_npu``, then `cards.install`.

====================================  =================================================================================
``ASCEND_SIM_DEVICES``                number of cards; 0 is a machine with CANN and no card; unset: no simulation
``ASCEND_SIM_SOC``                    name of the chip (Ascend910B4)
``ASCEND_SIM_HBM_MB``                 memory of each card in MiB (65536); only pages in use cost memory
``ASCEND_SIM_CANN``                   CANN version to report (8.5.0)
``ASCEND_SIM_DRIVER``                 driver version to report (24.1.0)
``ASCEND_SIM_VALUES``                 ``exact`` (the CPU's values) or ``documented`` (see `values`)
``ASCEND_SIM_FAULTS``                 faults to inject, ``fault`` or ``fault@operator``, with commas (see `faults`)
``ASCEND_SIM_LOSE_CARD_AFTER``        N: the card of the process's N-th operator launch is lost from then on
``ASCEND_SIM_LOG``                    1: torch_npu's log on stderr; 2: the stand-in's calls too
``ASCEND_SIM_CACHE``                  folder for the built libraries (a user's cache folder)
``CC``                                the C compiler (the first of cc, gcc, clang)
====================================  =================================================================================

A program can tell: ``libascendcl.so`` has the symbol ``ascend_sim_stand_in``, a sentence, on simulated cards only.

What a test that passes here shows: the code drives the real torch_npu correctly - placement, memory accounting,
refusals, generators, streams, fallbacks, several cards, a lost card. What it does not show: that a card computes
these values, how fast, or in how much memory. In particular

* every value is the CPU's, or a form of rounding chosen here; the only refusals of element types are a few from logs;
* nothing is asynchronous: races between streams, missing synchronisation and reuse of pinned memory are not found;
* operators' workspaces and CANN's own memory are not counted: real peaks are higher, and no time means anything;
* numbers drawn on a card repeat for a seed and differ from the CPU's, but are not a card's;
* recurrent layers, sparse results, backward passes of fused operators, HCCL, ``torch.compile``, NPU graphs, the
  profiler and ATB are not simulated: they are refused by name; private layouts (NZ) stay off, as by default;
* ``TASK_QUEUE_ENABLE=2`` does not work: sizes are then asked for on another thread.
"""
