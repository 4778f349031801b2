"""From a frozen float network to the integers that boards run, with proof that they agree.

In reading order:

``ir``            the graph that everything works on: NHWC, two dozen operators
``execute``       runs it in floating point
``import_graph``  a file becomes a graph: ``import_tf`` (.pb, with ``graph_def``,
                  ``tf_training``) or ``import_onnx`` (.onnx, with ``onnx_operators``)
``passes/``       one simplification a file, until the layers of the integer form remain
``fix_points``    the DPU's number format: rounding, the vendor's two rules, shift limits
``calibrate``     a fix point for every tensor, as the vendor finds it
``equalize``, ``layerwise``, ``logits``    what method best does beyond; ``methods`` chooses
``lower``         graph and fix points become an `edge_runtime.layers.IntegerNetwork`
``export_onnx``   the same integers in stock ONNX operators; ``check_onnx`` runs both and compares
``export_eval``   the vendor's evaluation graph, and one in stock TensorFlow operators
                  (``check_tf``); ``export_deploy`` the one for its compiler; ``tf_nodes`` for both
``export_qdq``    a standard model for other tools
``inputs``        calibration and validation images, and that they are different ones
``quality``       accuracy before and after; ``analysis`` what each layer costs; ``page`` shows it
``pipeline``      the steps of ``run``, in order; ``artifacts`` are the files that it leaves
``compile``       these files become a bundle; ``verify`` proves them again; ``info`` shows them
``check``         which operators a DPU of some size (``dpu``) runs
``vendor/``       what the vendor's tools wrote: compiled kernels, fix points
``settings``      defaults ← ``presets/`` ← command line (``__main__``)

Names in quantization.json are those of the source graph. A weight or bias is named as its constant:
after folding, the weight keeps the convolution's constant, and a bias that batch normalization
brings is named as the constant that is added (beta). An activation is named as the node that ends
its layer, for example the ReLU. Converters that fold by themselves, as tf2onnx does, name the
result in their way (``…/Conv2D_weights_fused_bn``). What the source has no name for is
``<layer>/weights`` or ``<layer>/bias``.

Needs NumPy, onnx and protobuf; TensorFlow and ONNX Runtime only to check.
"""
