"""The metrics' definitions, one module for each kind of metric. `harness.metrics.registry` collects them.

Notation of the formulas: t0 is the intended send time; chunk k of n arrives completely at a_k and carries d_k seconds
of decoded audio; D = Σ d_k; T = a_n − t0, or the end of the answer if that is later.
"""
