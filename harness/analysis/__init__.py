"""The statistics and the gate: pure functions of figures. No files, no clocks, no pytest.

`gate.run_gate` is the only function that makes verdicts. The functions below it turn grouped values into a
`DeferredEstimate`. Its interval can be computed at any level, because the level depends on the whole run.
"""
