"""The statistics and the gate: pure functions of figures. No files, no clocks, no pytest.

`gate.judge` is the one function that gives verdicts. Everything beneath it turns grouped figures into an `Interim`
estimate whose interval can be read at any level, because the level is only known when the whole run is judged.
"""
