"""What Hypothesis draws for the fields of records."""

from hypothesis import strategies as st


def register_what_records_hold() -> None:
    """Finite figures, counts of 64 bits, and any text that Unicode allows: for every test of the store."""
    st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
    st.register_type_strategy(int, st.integers(min_value=-(2**63), max_value=2**63 - 1))
    st.register_type_strategy(str, st.text(max_size=20))


def register_what_every_database_holds() -> None:
    """The same, but columns of 32 bits and no NUL in a text: PostgreSQL's; the store's payloads are bytes."""
    st.register_type_strategy(int, st.integers(min_value=-(2**31), max_value=2**31 - 1))
    text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
    st.register_type_strategy(str, text)
