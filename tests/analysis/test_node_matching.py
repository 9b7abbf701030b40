"""Nodes of two versions of a graph: which of them do the same work."""

from harness.analysis.node_matching import family, match, operator_label
from harness.core.records.profile import Node


def node(name: str, operator: str, shape: str = "1×8") -> Node:
    return Node(name=name, operator=operator, shape=shape)


def pairs(ours: list[Node], theirs: list[Node]) -> set[tuple[str, str]]:
    """The names on both sides of each match."""
    return {
        ("+".join(each.name for each in one.ours), "+".join(each.name for each in one.theirs))
        for one in match(ours, theirs)
    }


def test_the_same_name_and_operator_are_the_same_node_whatever_the_shape() -> None:
    assert pairs([node("a", "Conv", "1×9")], [node("a", "Conv", "1×8")]) == {("a", "a")}


def test_a_name_that_another_operator_has_now_is_another_node() -> None:
    assert pairs([node("a", "Add")], [node("a", "Conv")]) == {("a", ""), ("", "a")}


def test_renamed_nodes_are_matched_by_operator_and_shape() -> None:
    ours = [node("x", "Conv", "1×8"), node("y", "Conv", "1×9")]
    theirs = [node("b", "Conv", "1×9"), node("a", "Conv", "1×8")]
    assert pairs(ours, theirs) == {("x", "a"), ("y", "b")}


def test_fused_nodes_belong_to_the_operator_that_they_were_made_of() -> None:
    assert pairs([node("x", "FusedConv")], [node("a", "Conv")]) == {("x", "a")}
    names = {
        "FusedConv": "Conv", "NhwcFusedConv": "Conv", "DynamicQuantizeLSTM": "LSTM", "BiasGelu": "Gelu",
        "MatMulIntegerToFloat": "MatMulInteger", "SkipLayerNormalization": "LayerNormalization",
        "ConvInteger": "ConvInteger",
    }  # fmt: skip
    assert {name: family(name) for name in names} == names


def test_a_fused_node_that_kept_its_name_is_told_from_others_of_its_shape() -> None:
    ours = [node("a", "FusedConv"), node("b", "FusedConv")]
    assert pairs(ours, [node("b", "Conv"), node("a", "Conv")]) == {("a", "a"), ("b", "b")}


def test_several_of_one_operator_and_shape_are_one_match_with_their_numbers() -> None:
    (found,) = match([node("x", "Conv"), node("y", "Conv")], [node("a", "Conv")])
    assert found.label == "Conv 1×8 (1 → 2 nodes)"


def test_nodes_without_names_are_never_matched_by_their_index() -> None:
    ours = [node("#1", "Conv", "1×8"), node("#2", "Conv", "1×9")]
    assert pairs(ours, [node("#1", "Conv", "1×9"), node("#2", "Conv", "1×8")]) == {("#1", "#2"), ("#2", "#1")}


def test_the_label_of_an_operator_has_both_names_where_they_differ() -> None:
    assert operator_label(["Conv"], ["Conv"]) == "Conv"
    assert operator_label(["FusedConv", "Conv"], ["Conv"]) == "Conv → Conv + FusedConv"
    assert operator_label([], ["Cast"]) == "Cast"
