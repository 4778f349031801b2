"""Each pass leaves what a graph computes unchanged; and which operators remain."""

import numpy as np
import pytest

from edge_runtime.errors import GraphError
from quantize import execute, passes
from quantize.ir import Graph, Node, Op, Pass, constant
from quantize.lower import check_supported
from tests.quantize.tiny_graphs import const, conv, graph, inputs

W = const("w", 5, 3, 3, 3)
NORM = [const(name, 5, low=0.2) for name in ("gamma", "beta", "mean", "variance")]
NORM_NAMES = tuple(node.name for node in NORM)
BIAS = const("b", 5)


def check(each: Pass, before: Graph, *remaining: Op, same_shape: bool = True) -> Graph:
    after = each(before)
    assert after.operators() == [Op.INPUT, *remaining]
    x = inputs(before)
    old, new = execute.run(before, x), execute.run(after, x)
    assert new.shape == old.shape or not same_shape
    np.testing.assert_allclose(new.reshape(old.shape), old, rtol=1e-4, atol=1e-5)
    assert each(after).signature() == after.signature(), "a pass must be done after one run"
    return after


def test_strip_identities() -> None:
    before = graph(
        W, Node("w/read", Op.IDENTITY, ("w",)), conv("c", "x", "w/read"),
        Node("dropout", Op.IDENTITY, ("c",)),
    )  # fmt: skip
    after = check(passes.strip_identities, before, Op.CONV)
    assert after.output == "c"
    assert after["c"].inputs == ("x", "w")


def test_fold_constants_keeps_the_name_of_a_transposed_weight() -> None:
    turned = constant("w", np.moveaxis(np.asarray(W.value), 0, 3))
    layout = Node("c/layout", Op.TRANSPOSE, ("w",), {"perm": (3, 0, 1, 2)})
    after = check(passes.fold_constants, graph(turned, layout, conv("c", "x", "c/layout")), Op.CONV)
    assert after["c"].inputs == ("x", "w")


def test_fold_constants_leaves_a_shared_constant_alone() -> None:
    square = const("w", 3, 3, 3, 3)
    layout = Node("turned", Op.TRANSPOSE, ("w",), {"perm": (3, 1, 2, 0)})
    before = graph(square, layout, conv("a", "x", "w"), conv("b", "a", "turned"))
    after = check(passes.fold_constants, before, Op.CONV, Op.CONV)
    assert after["a"].inputs[1] == "w"
    assert after["b"].inputs[1] == "turned"


def test_fold_constants_computes_a_decomposed_batch_norm() -> None:
    scale = Node("scale", Op.MUL, ("gamma", "rsqrt"))
    before = graph(
        W, NORM[0], NORM[3], Node("rsqrt", Op.RSQRT, ("variance",)), scale, conv("c"),
        Node("y", Op.MUL, ("c", "scale")),
    )  # fmt: skip
    after = check(passes.fold_constants, before, Op.CONV, Op.MUL)
    assert after["scale"].op is Op.CONST


@pytest.mark.parametrize("tail", [[], [Node("flat", Op.RESHAPE, ("out",), {"shape": (-1, 80)})]])
def test_cut_logits(tail: list[Node]) -> None:
    before = graph(W, conv("c"), Node("out", Op.SOFTMAX, ("c",)), *tail)
    after = passes.cut_logits(before)
    assert after.operators() == [Op.INPUT, Op.CONV]
    x = inputs(before)
    np.testing.assert_array_equal(execute.run(after, x), execute.values(before, x)["c"])


def test_resolve_views_frees_the_batch() -> None:
    before = graph(
        Node("pool", Op.AVG_POOL, ("x",), {"kernel": (4, 4), "strides": (4, 4)}),
        Node("squeezed", Op.SQUEEZE, ("pool",), {"axes": (1, 2)}),
        Node("kept", Op.RESHAPE, ("squeezed",), {"shape": (0, 3)}),
        Node("one", Op.RESHAPE, ("kept",), {"shape": (1, -1)}),
    )
    after = passes.resolve_views(before)
    assert [after[name].op for name in ("squeezed", "kept", "one")] == [Op.RESHAPE] * 3
    assert execute.run(after, inputs(before)).shape == (5, 3)  # batch 1 was written into it


def test_resolve_views_refuses_to_mix_images() -> None:
    mixed = graph(Node("mixed", Op.RESHAPE, ("x",), {"shape": (-1, 12)}))
    with pytest.raises(GraphError, match=r"'mixed'.*mixes the images"):
        passes.resolve_views(mixed)


@pytest.mark.parametrize(
    ("size", "stride", "pads"),
    [((4, 4), 2, (0, 1, 0, 1)), ((5, 5), 2, (1, 1, 1, 1)), ((4, 5), 1, (1, 1, 1, 1)),
     ((7, 3), 3, (1, 1, 0, 0))],
)  # fmt: skip
def test_resolve_padding(size: tuple[int, int], stride: int, pads: tuple[int, ...]) -> None:
    same = conv("c", strides=(stride, stride), padding="same")
    after = check(passes.resolve_padding, graph(W, same, shape=(*size, 3)), Op.CONV)
    assert after["c"].ints("pads") == pads


NCHW, NHWC = {"perm": (0, 3, 1, 2)}, {"perm": (0, 2, 3, 1)}


def test_sink_transposes_through_everything_between_two_layers() -> None:
    before = graph(
        W, const("w2", 2, 1, 1, 5), const("offset", 5, 1, 1), const("factor", 1),
        conv("c"), Node("t1", Op.TRANSPOSE, ("c",), NCHW),
        Node("biased", Op.ADD, ("t1", "offset")), Node("scaled", Op.MUL, ("factor", "biased")),
        Node("relu", Op.RELU, ("scaled",)), Node("both", Op.ADD, ("relu", "scaled")),
        Node("t2", Op.TRANSPOSE, ("both",), NHWC), conv("d", "t2", "w2", pads=(0, 0, 0, 0)),
    )  # fmt: skip
    check(passes.sink_transposes, before, Op.CONV, Op.ADD, Op.MUL, Op.RELU, Op.ADD, Op.CONV)


@pytest.mark.parametrize(("axes", "keep"), [((2, 3), True), ((-1, -2), False), ((1,), False)])
def test_sink_transposes_through_a_mean(axes: tuple[int, ...], keep: bool) -> None:
    before = graph(
        W, conv("c"), Node("t", Op.TRANSPOSE, ("c",), NCHW),
        Node("mean", Op.MEAN, ("t",), {"axes": axes, "keep_dims": keep}),
        shape=(4, 6, 3),
    )  # fmt: skip
    kept = [Op.TRANSPOSE] if keep else []  # what a dropped axis leaves is in order already
    check(passes.sink_transposes, before, Op.CONV, Op.MEAN, *kept)


@pytest.mark.parametrize("op", [Op.ADD, Op.SUB])
def test_fuse_bias(op: Op) -> None:
    after = check(passes.fuse_bias, graph(W, BIAS, conv("c"), Node("y", op, ("c", "b"))), Op.CONV)
    assert after["y"].inputs == ("x", "w", "b")
    assert after["y"].layer == "c"


def test_fuse_bias_adds_to_a_bias_that_is_there() -> None:
    before = graph(
        W, BIAS, const("b2", 1, 1, 1, 5), conv("c", "x", "w", "b"), Node("y", Op.ADD, ("b2", "c"))
    )
    assert check(passes.fuse_bias, before, Op.CONV)["y"].inputs[2] == "b"


@pytest.mark.parametrize(
    "nodes",
    [
        [conv("c"), Node("y", Op.ADD, ("c", "c"))],
        [conv("c"), Node("y", Op.SUB, ("b", "c"))],
        [conv("c"), Node("r", Op.RELU, ("c",)), Node("y", Op.ADD, ("r", "b"))],
        [conv("c"), Node("y", Op.ADD, ("c", "map"))],
        [conv("c"), Node("s", Op.ADD, ("c", "b")), Node("y", Op.ADD, ("s", "c"))],
    ],
    ids=["two activations", "subtracted from", "after a relu", "a whole map", "read by another"],
)
def test_fuse_bias_leaves_what_is_no_bias(nodes: list[Node]) -> None:
    before = graph(W, BIAS, const("map", 4, 4, 5), *nodes)
    check(passes.fuse_bias, before, *[node.op for node in nodes])


@pytest.mark.parametrize("with_bias", [False, True])
def test_fold_batch_norm(with_bias: bool) -> None:
    layer = conv("c", "x", "w", "b") if with_bias else conv("c")
    norm = Node("y", Op.BATCH_NORM, ("c", *NORM_NAMES), {"epsilon": 1e-3})
    after = check(passes.fold_batch_norm, graph(W, BIAS, *NORM, layer, norm), Op.CONV)
    assert after["y"].inputs == ("x", "w", "b" if with_bias else "beta")
    assert after["y"].layer == "c"


def test_fold_batch_norm_into_a_dense_layer() -> None:
    before = graph(
        const("k", 3, 5), *NORM,
        Node("m", Op.MEAN, ("x",), {"axes": (1, 2)}), Node("d", Op.DENSE, ("m", "k")),
        Node("y", Op.BATCH_NORM, ("d", *NORM_NAMES), {"epsilon": 1e-3}),
    )  # fmt: skip
    check(passes.fold_batch_norm, before, Op.MEAN, Op.DENSE)


def test_fold_batch_norm_folds_a_scale() -> None:
    check(passes.fold_batch_norm, graph(W, BIAS, conv("c"), Node("y", Op.MUL, ("b", "c"))), Op.CONV)


def test_fold_batch_norm_copies_a_weight_that_two_layers_share() -> None:
    square, norm = const("w", 3, 3, 3, 3), [const(name, 3, low=0.2) for name in NORM_NAMES]
    before = graph(
        square, *norm, conv("a"), Node("n", Op.BATCH_NORM, ("a", *NORM_NAMES), {"epsilon": 1e-3}),
        conv("c", "n", "w"),
    )  # fmt: skip
    after = check(passes.fold_batch_norm, before, Op.CONV, Op.CONV)
    assert after["n"].inputs[1] == "a/weights"
    assert after["c"].inputs[1] == "w"


def test_fuse_activation_names_the_layer_as_the_relu() -> None:
    after = check(passes.fuse_activation, graph(W, conv("c"), Node("r", Op.RELU, ("c",))), Op.CONV)
    assert after["r"].activation == "relu"
    assert after["r"].layer == "c"


def test_fuse_activation_keeps_a_value_that_others_read() -> None:
    before = graph(W, conv("c"), Node("r", Op.RELU, ("c",)), Node("y", Op.ADD, ("r", "c")))
    check(passes.fuse_activation, before, Op.CONV, Op.RELU, Op.ADD)


@pytest.mark.parametrize("keep", [True, False])
def test_mean_to_pool(keep: bool) -> None:
    mean = Node("m", Op.MEAN, ("x",), {"axes": (1, -2), "keep_dims": keep})
    kept = [Op.AVG_POOL] if keep else [Op.AVG_POOL, Op.RESHAPE]
    check(passes.mean_to_pool, graph(mean, shape=(4, 6, 3)), *kept)


def test_mean_over_channels_is_no_pool() -> None:
    mean = Node("m", Op.MEAN, ("x",), {"axes": (2, 3), "keep_dims": True})
    check(passes.mean_to_pool, graph(mean), Op.MEAN)


@pytest.mark.parametrize("nchw", [False, True])
def test_dense_to_conv_after_flattening_a_map(nchw: bool) -> None:
    turn = [Node("t", Op.TRANSPOSE, ("x",), NCHW)] if nchw else []
    before = graph(
        const("k", 24, 5), *turn,
        Node("flat", Op.RESHAPE, ("t" if nchw else "x",), {"shape": (-1, 24)}),
        Node("y", Op.DENSE, ("flat", "k")),
        shape=(2, 4, 3),
    )  # fmt: skip
    after = check(passes.dense_to_conv, before, Op.CONV, Op.RESHAPE)
    assert np.shape(after.value("k")) == (5, 2, 4, 3)


def test_strip_views_that_leave_values_where_they_are() -> None:
    before = graph(
        W, Node("a", Op.RESHAPE, ("x",), {"shape": (-1, 48)}),
        Node("b", Op.RESHAPE, ("a",), {"shape": (-1, 4, 4, 3)}), conv("c", "b"),
    )  # fmt: skip
    check(passes.strip_views, before, Op.CONV)


def test_strip_views_keeps_a_real_transpose() -> None:
    before = graph(Node("t", Op.TRANSPOSE, ("x",), {"perm": (0, 2, 1, 3)}))
    check(passes.strip_views, before, Op.TRANSPOSE)


def test_complete_layers_gives_every_layer_its_own_constants() -> None:
    before = graph(const("w", 3, 3, 3, 3), conv("a"), conv("c", "a", "w"))
    after = check(passes.complete_layers, before, Op.CONV, Op.CONV)
    assert after["a"].inputs == ("x", "a/weights", "a/bias")
    assert after["c"].inputs == ("a", "c/weights", "c/bias")


def test_a_graph_must_be_in_order() -> None:
    with pytest.raises(GraphError, match="fed by 'w'"):
        graph(conv("c"), W)
    with pytest.raises(GraphError, match="two nodes"):
        graph(W, W)


def test_a_node_that_cannot_run_is_named() -> None:
    with pytest.raises(GraphError, match=r"'c' \(Conv2D\) cannot take"):
        execute.shapes(graph(W, conv("c"), shape=(4, 4, 2)))


@pytest.mark.parametrize(("op", "name"), [(Op.RELU6, "relu6"), (Op.LEAKY_RELU, "leaky_relu")])
def test_fuse_activation_takes_the_others_too(op: Op, name: str) -> None:
    slope = {"alpha": 26 / 256}
    after = check(
        passes.fuse_activation, graph(W, conv("c"), Node("r", op, ("c",), slope)), Op.CONV
    )
    assert after["r"].activation == name


def test_fuse_activation_into_an_addition() -> None:
    both = Node("s", Op.ADD, ("x", "x"))
    check(passes.fuse_activation, graph(both, Node("r", Op.RELU, ("s",))), Op.ADD)
    biased = graph(const("b", 3), Node("s", Op.ADD, ("x", "b")), Node("r", Op.RELU, ("s",)))
    check(passes.fuse_activation, biased, Op.ADD, Op.RELU)


def test_a_slope_that_the_dpu_lacks_is_named() -> None:
    steep = graph(W, conv("c"), Node("r", Op.LEAKY_RELU, ("c",), {"alpha": 0.2}))
    assert passes.fuse_activation(steep).operators() == [Op.INPUT, Op.CONV, Op.LEAKY_RELU]
    with pytest.raises(GraphError, match=r"'r': a leaky ReLU of slope 0\.2 cannot"):
        check_supported(passes.fuse_activation(steep))


@pytest.mark.parametrize("swapped", [False, True])
def test_recognize_activations(swapped: bool) -> None:
    def pair(a: str, b: str) -> tuple[str, str]:
        return (b, a) if swapped else (a, b)

    before = graph(
        constant("zero", np.float32(0)), constant("six", np.float32([6])),
        constant("slope", np.float32(0.1)),
        Node("a", Op.MAXIMUM, pair("x", "zero")), Node("b", Op.MINIMUM, pair("a", "six")),
        Node("c", Op.SUB, ("b", "slope")), Node("scaled", Op.MUL, pair("c", "slope")),
        Node("y", Op.MAXIMUM, pair("scaled", "c")),
    )  # fmt: skip
    once = passes.recognize_activations(before)
    assert once.operators() == [Op.INPUT, Op.RELU6, Op.SUB, Op.LEAKY_RELU]
    assert once["y"].number("alpha") == pytest.approx(0.1)
    x = 4 * inputs(before)
    np.testing.assert_allclose(execute.run(once, x), execute.run(before, x), rtol=1e-6)


@pytest.mark.parametrize("other", [0.5, -0.1])
def test_recognize_activations_leaves_other_maxima(other: float) -> None:
    before = graph(constant("k", np.float32(other)), Node("y", Op.MAXIMUM, ("x", "k")))
    check(passes.recognize_activations, before, Op.MAXIMUM)


def test_raise_activations_above_a_max_pool() -> None:
    pool = {"kernel": (2, 2), "strides": (2, 2), "pads": (0, 1, 1, 0)}
    before = graph(W, conv("c"), Node("m", Op.MAX_POOL, ("c",), pool), Node("r", Op.RELU, ("m",)))
    after = check(passes.raise_activations, before, Op.CONV, Op.RELU, Op.MAX_POOL)
    assert after.output == "r"


PAD = Node("p", Op.PAD, ("x",), {"pads": (1, 0, 1, 1)})


def test_merge_padding_into_a_convolution() -> None:
    after = check(passes.merge_padding, graph(W, PAD, conv("c", "p", pads=(0, 1, 0, 0))), Op.CONV)
    assert after["c"].ints("pads") == (1, 1, 1, 1)


@pytest.mark.parametrize(
    "node",
    [
        Node("m", Op.MAX_POOL, ("p",), {"kernel": (2, 2), "strides": (2, 2)}),
        Node("a", Op.AVG_POOL, ("p",), {"kernel": (2, 2), "strides": (1, 1)}),
        conv("c", "p", "small", pads=(0, 0, 0, 0)),
    ],
    ids=["max pool", "average pool", "a kernel smaller than the pad"],
)
def test_padding_that_no_layer_takes_is_a_convolution_of_its_own(node: Node) -> None:
    before = graph(const("small", 2, 1, 1, 3), PAD, node)
    after = check(passes.merge_padding, before, Op.CONV, node.op)
    assert after["p"].flag("depthwise")


def test_resolve_padding_of_a_max_pool() -> None:
    pool = {"kernel": (3, 3), "strides": (2, 2), "padding": "same"}
    before = graph(Node("m", Op.MAX_POOL, ("x",), pool), shape=(6, 5, 3))
    after = check(passes.resolve_padding, before, Op.MAX_POOL)
    assert after["m"].ints("pads") == (0, 1, 1, 1)


def test_sink_transposes_through_a_concatenation_and_activations() -> None:
    before = graph(
        W, conv("c"), Node("t", Op.TRANSPOSE, ("c",), NCHW), Node("six", Op.RELU6, ("t",)),
        Node("leak", Op.LEAKY_RELU, ("t",), {"alpha": 0.1}),
        Node("j", Op.CONCAT, ("six", "leak"), {"axis": 1}),
        Node("back", Op.TRANSPOSE, ("j",), NHWC),
    )  # fmt: skip
    kept = (Op.CONV, Op.RELU6, Op.LEAKY_RELU, Op.CONCAT)
    assert check(passes.sink_transposes, before, *kept)["j"].number("axis") == 3


def test_sink_transposes_leaves_a_concatenation_of_other_orders() -> None:
    before = graph(
        Node("t", Op.TRANSPOSE, ("x",), {"perm": (0, 2, 1, 3)}),
        Node("j", Op.CONCAT, ("t", "x"), {"axis": 3}),
    )
    check(passes.sink_transposes, before, Op.TRANSPOSE, Op.CONCAT)


def test_fold_batch_norm_folds_a_division() -> None:
    before = graph(W, const("by", 5, low=0.5), conv("c"), Node("y", Op.DIV, ("c", "by")))
    check(passes.fold_batch_norm, before, Op.CONV)
    inverse = graph(W, const("by", 5, low=0.5), conv("c"), Node("y", Op.DIV, ("by", "c")))
    assert passes.fold_batch_norm(inverse).operators() == [Op.INPUT, Op.CONV, Op.DIV]


def normed(after: str) -> list[Node]:
    """An activation, and batch normalization behind it."""
    norm = Node("n", Op.BATCH_NORM, ("r", *NORM_NAMES), {"epsilon": 1e-3})
    return [W, *NORM, conv("c", activation=after), Node("r", Op.IDENTITY, ("c",)), norm]


def test_scale_to_conv_after_an_activation() -> None:
    before = passes.strip_identities(graph(*normed("relu")))
    after = check(passes.scale_to_conv, before, Op.CONV, Op.CONV)
    assert after["n"].flag("depthwise")


@pytest.mark.parametrize(("op", "value"), [(Op.MUL, 5), (Op.ADD, 5), (Op.SUB, 1), (Op.DIV, 1)])
def test_scale_to_conv_of_arithmetic(op: Op, value: int) -> None:
    before = graph(
        W, const("k", value, low=0.5), conv("c", activation="relu"), Node("y", op, ("c", "k"))
    )
    check(passes.scale_to_conv, before, Op.CONV, Op.CONV)


def test_merge_scale_into_the_convolution_after_it_or_leave_it() -> None:
    """With zero padding its offset would have to be padded instead of zero."""
    w2, b2 = const("w2", 2, 3, 3, 5), const("b2", 2)
    for pads, left in (((0, 0, 0, 0), 2), ((1, 1, 1, 1), 3)):
        nodes = [*normed("relu"), w2, b2, conv("d", "n", "w2", "b2", pads=pads)]
        before = passes.scale_to_conv(passes.strip_identities(graph(*nodes)))
        check(passes.merge_scale, before, *[Op.CONV] * left)


def test_merge_scale_steps_over_an_average_pool() -> None:
    pool = Node("m", Op.AVG_POOL, ("n",), {"kernel": (4, 4), "strides": (4, 4)})
    last = conv("d", "m", "w2", pads=(0, 0, 0, 0))
    nodes = [*normed("relu"), const("w2", 2, 1, 1, 5), pool, last]
    before = passes.scale_to_conv(passes.strip_identities(graph(*nodes)))
    after = passes.repeat(before, (passes.merge_scale,))
    assert after.operators() == [Op.INPUT, Op.CONV, Op.AVG_POOL, Op.CONV]
    x = inputs(before)
    np.testing.assert_allclose(execute.run(after, x), execute.run(before, x), rtol=1e-4, atol=1e-5)


def test_merge_scale_into_a_depthwise_convolution() -> None:
    last = conv("d", "n", "w2", pads=(0, 0, 0, 0), depthwise=True)
    nodes = [*normed("relu"), const("w2", 10, 2, 2, 1), last]
    before = passes.scale_to_conv(passes.strip_identities(graph(*nodes)))
    check(passes.merge_scale, before, Op.CONV, Op.CONV)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads", "left"),
    [
        (1, 3, 1, (1, 1, 1, 1), (1, 1)), (2, 5, 1, (2, 2, 2, 2), (3, 3)),
        (2, 3, 2, (0, 1, 1, 0), (2, 2)), (4, 3, 1, (1, 1, 1, 1), (3, 3)),
        (1, 3, 2, (2, 0, 0, 2), (1, 1)),
    ],
)  # fmt: skip
def test_drop_dead_weights(
    size: int, kernel: int, stride: int, pads: tuple[int, ...], left: tuple[int, int]
) -> None:
    node = conv("c", pads=pads, strides=(stride, stride))
    before = graph(const("w", 5, kernel, kernel, 3), node, shape=(size, size, 3))
    after = check(passes.drop_dead_weights, before, Op.CONV)
    assert np.shape(after.value("w"))[1:3] == left


def test_the_vendors_rules_keep_dead_weights() -> None:
    before = graph(const("w", 5, 3, 3, 3), conv("c"), shape=(1, 1, 3))
    assert np.shape(passes.simplify(before, vendor=True).value("w")) == (5, 3, 3, 3)
    assert np.shape(passes.simplify(before).value("w")) == (5, 1, 1, 3)
