"""Export of fitted estimators to ONNX with skl2onnx, an optional dependency.

The graph has the steps of ``predict_proba``. It centres and scales in the precision of
its input, clips, splits and squashes, computes all members as one batch of products,
and averages their probabilities at the temperature.
"""

from functools import partial

import numpy as np
from scipy.linalg import block_diag
from sklearn.utils.validation import check_is_fitted

from sknet._classifier import TwoLayerClassifier
from sknet._data.inputs import HALF_GAP, LIMIT, RAW_LIMIT, SQUASH, working_dtype
from sknet._network.losses import SigmoidCrossEntropy

ACTIVATION_OPERATORS = {
    "relu": "Relu",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "identity": "Identity",
}


def register(estimator=TwoLayerClassifier):
    """Teach skl2onnx to convert `TwoLayerClassifier`, alone or inside other estimators.

    Call it once in each session, before ``skl2onnx.to_onnx``. Labels must be integers
    or strings. Rows must be dense, even if the model was fitted on sparse rows.

    The graph takes rows of float32, float64, int64 or bool. It centres them in float64,
    unless they are float32 or bool, so declare float64 inputs for time stamps and other
    large numbers with small differences. ONNX has no maps to float64, so float64 inputs
    need the option ``zipmap=False``, as for every classifier. The network computes in
    the precision of ``predict_proba``. After a fit on float32 rows, the graph is half
    as large. Declare integer inputs as int64, whatever their dtype in `fit`.

    sknet does not control how skl2onnx converts the estimators around it. For example,
    skl2onnx converts ``TunedThresholdClassifierCV`` without its threshold.

    Parameters
    ----------
    estimator : type, default=TwoLayerClassifier
        The class to convert. skl2onnx does not look up parent classes, so register each
        subclass separately. A subclass must not change how predictions are made.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    TypeError
        If `estimator` is neither `TwoLayerClassifier` nor a subclass of it.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from skl2onnx import to_onnx
    >>> import sknet.onnx
    >>> from sknet import TwoLayerClassifier
    >>> sknet.onnx.register()
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = TwoLayerClassifier(max_iter=20, random_state=0).fit(X, y)
    >>> graph = to_onnx(clf, X[:1], options={"zipmap": False})
    >>> session = onnxruntime.InferenceSession(graph.SerializeToString())
    >>> labels, proba = session.run(None, {"X": X})
    >>> bool((labels == clf.predict(X)).all())
    True
    >>> bool(np.abs(proba - clf.predict_proba(X)).max() < 1e-6)
    True
    """
    _check_class(estimator)
    try:
        from skl2onnx import update_registered_converter
        from skl2onnx.common import shape_calculator
    except ImportError as error:
        raise ImportError(
            "sknet.onnx.register needs skl2onnx. Install it with `pip install skl2onnx "
            "onnxruntime`."
        ) from error
    update_registered_converter(
        estimator,
        "SknetTwoLayerClassifier",
        shape_calculator.calculate_linear_classifier_output_shapes,
        _convert,
        parser=_parse,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "output_class_labels": [False, True],
            "raw_scores": [True, False],
        },
    )


def _check_class(estimator):
    """Raise an error unless it is TwoLayerClassifier or predicts in the same way."""
    if not (isinstance(estimator, type) and issubclass(estimator, TwoLayerClassifier)):
        raise TypeError(
            "estimator must be TwoLayerClassifier or a subclass. Pass the class, not "
            f"an instance. Got {estimator!r}."
        )
    for name in ("predict", "predict_proba", "decision_function"):
        if getattr(estimator, name) is not getattr(TwoLayerClassifier, name):
            raise TypeError(
                f"{estimator.__name__} overrides {name}, which the graph would ignore. "
                "Write a converter for it."
            )


def _parse(scope, model, inputs, custom_parsers=None):
    """Check the classifier and its labels, and declare the outputs."""
    from skl2onnx._parse import _parse_sklearn_classifier

    unfitted = "This %(name)s is not fitted yet: call fit before converting it."
    check_is_fitted(model, msg=unfitted)
    if model._table.levels:
        names = [model._table.name(j) for j in model._table.levels]
        raise ValueError(
            f"This {type(model).__name__} was fitted on categorical columns, "
            f"{names[:5]}, which sknet.onnx cannot convert. Encode them in a pipeline, "
            "with OneHotEncoder, before the classifier."
        )
    _labels(scope, model)
    width = _width(inputs[0])
    if width not in (None, model.n_features_in_):
        raise ValueError(
            f"X has {width} columns in the graph, but this {type(model).__name__} was "
            f"fitted on {model.n_features_in_}. Declare its input with the shape "
            f"[None, {model.n_features_in_}]."
        )
    return _parse_sklearn_classifier(scope, model, inputs, custom_parsers)


def _convert(scope, operator, container):
    """Add the nodes of one fitted estimator to the graph."""
    from skl2onnx.common.data_types import guess_proto_type

    clf, (label, scores) = operator.raw_operator, operator.outputs
    raw_scores = scope.get_options(clf, {"raw_scores": False})["raw_scores"]
    node = partial(_node, container.target_opset)
    found = _scores(node, operator.inputs[0], clf._blend.used, raw_scores)
    best = node("ArgMax", found, axis=1, keepdims=0)
    answer = node("Gather", _labels(scope, clf), best, output_names=[label])
    answer.add_to(scope, container)
    output_type = guess_proto_type(scores.type)
    node("Cast", found, to=output_type, output_names=[scores]).add_to(scope, container)


def _node(opset, operator, *inputs, **attributes):
    """An ONNX operator applied to nodes and constants."""
    from skl2onnx.algebra import onnx_ops

    inputs = [np.atleast_1d(x) if isinstance(x, np.generic) else x for x in inputs]
    return getattr(onnx_ops, f"Onnx{operator}")(*inputs, op_version=opset, **attributes)


def _indices(numbers):
    """Integers in the one dtype that every operator accepts."""
    return np.array(numbers, dtype=np.int64)


def _labels(scope, clf):
    """The labels that the graph returns, as strings or int64."""
    classes = clf.classes_
    if scope.get_options(clf, {"nocl": False})["nocl"]:
        return _indices(range(len(classes)))
    if all(isinstance(label, str) for label in classes):
        return classes.astype(object)
    if classes.dtype.kind in "biuf" and (classes.astype(np.int64) == classes).all():
        return classes.astype(np.int64)
    raise ValueError(
        "ONNX supports only strings and integers as labels. Encode y before fit, for "
        f"example with LabelEncoder. Got classes_={classes!r}."
    )


def _width(X):
    """Declared number of columns of an input, or None if it is not declared."""
    shape = X.type.shape
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _inputs(node, X, inputs):
    """Convert rows of X to network inputs, as ``Inputs.dense`` does."""
    from onnx.helper import np_dtype_to_tensor_dtype, tensor_dtype_to_np_dtype
    from skl2onnx.common.data_types import guess_proto_type

    def cast(rows, dtype):
        """Rows cast to another dtype."""
        return node("Cast", rows, to=np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def cut(rows, limit, dtype):
        """Rows clipped to the range from -limit to limit."""
        return node("Max", node("Min", rows, dtype(limit)), dtype(-limit))

    given = np.dtype(tensor_dtype_to_np_dtype(guess_proto_type(X.type)))
    work, dtype = working_dtype(given), inputs.dtype
    if inputs.mean is None:
        z = cut(cast(X, dtype), RAW_LIMIT, dtype.type)
    else:
        mean, factor = inputs.constants(work)
        z = cast(X, work)
        if _width(X) is None:
            # without this, "Sub" would use a single column for both parts
            every = node("Gather", z, _indices(range(len(mean))), axis=1)
            z = node("Max", z, every)
        z = node("Mul", node("Sub", z, mean), factor)
        z = cast(cut(z, LIMIT, work.type), dtype)
    missing = node("IsNaN", z)
    z = node("Where", missing, dtype.type(0), z)
    parts = [z]
    if len(inputs.split):
        lowest, offset = inputs.upper_constants()
        columns = node("Gather", z, _indices(inputs.split), axis=1)
        lower = node("Min", columns, dtype.type(0))
        parts = [node("Sub", node("Max", z, lowest), offset)]
        parts.append(node("Add", lower, dtype.type(HALF_GAP)))
    parts += _curves(node, z, inputs)
    if len(inputs.gaps):
        gaps = node("Gather", cast(missing, dtype), _indices(inputs.gaps), axis=1)
        parts.append(node("Sub", gaps, inputs.share.astype(dtype)))
    z = node("Concat", *parts, axis=1) if len(parts) > 1 else z
    if inputs.mean is None:
        return z
    ratio = node("Mul", z, dtype.type(1 / SQUASH))
    square = node("Add", node("Mul", ratio, ratio), dtype.type(1))
    return node("Div", z, node("Sqrt", square))


def _curves(node, z, inputs):
    """Bumps at the knots and normal scores of ranks, as sums of ramps."""
    dtype, curves = inputs.dtype, []

    def curve(column, low, width, weights, offset):
        """A weighted sum of ramps from 0 at ``low`` to 1 at ``low + width``."""
        rise = node("Gather", z, _indices(column), axis=1)
        rise = node("Div", node("Sub", rise, low.astype(dtype)), width.astype(dtype))
        ramps = node("Max", node("Min", rise, dtype.type(1)), dtype.type(0))
        weighted = node("MatMul", ramps, weights.astype(dtype))
        return node("Add", weighted, offset.astype(dtype))

    column, low, width = inputs.ramps
    if len(column):
        # a bump at each knot but the first: a ramp minus the next one of its column
        bumps = np.eye(len(column))
        follows = np.flatnonzero(column[1:] == column[:-1])
        bumps[follows + 1, follows] = -1
        curves.append(curve(column, low, width, bumps, -inputs.ramp_mean))
    if inputs.scores:
        columns, quantiles, scores = zip(*inputs.scores, strict=True)
        column = np.repeat(columns, [len(x) - 1 for x in quantiles])
        low = np.concatenate([x[:-1] for x in quantiles])
        width = np.concatenate([np.diff(x) for x in quantiles])
        steps = block_diag(*(np.diff(s)[:, np.newaxis] for s in scores))
        lowest = np.array([s[0] for s in scores])
        curves.append(curve(column, low, width, steps, lowest))
    return curves


def _raw_prediction(node, inputs, network):
    """Logits (k, n, o), as ``TwoLayerNetwork.raw_prediction`` gives them."""
    d, h, _, k = network.shape
    W1, W2, b1, b2 = network.shape.views(network.params)
    # a batch of k products: onnxruntime 1.20 fails to transpose doubles before one
    W1 = np.ascontiguousarray(W1.reshape(d, k, h).transpose(1, 0, 2))
    hidden = node("Add", node("MatMul", inputs, W1), b1.reshape(k, 1, h))
    hidden = node(ACTIVATION_OPERATORS[network.activation.name], hidden)
    return node("Add", node("MatMul", hidden, W2), b2)


def _scores(node, X, models, raw_scores):
    """Probabilities (n, n_classes), or the scores of ``decision_function``."""
    binary = isinstance(models[0].network.loss, SigmoidCrossEntropy)
    as_number = models[0].network.params.dtype.type
    members = []
    for model in models:
        inputs = _inputs(node, X, model.inputs)
        raw = _raw_prediction(node, inputs, model.network)
        raw = node("Mul", raw, as_number(1 / model.temperature))
        if binary:  # the sigmoid of z is the softmax of 0 and z
            raw = node("Concat", node("Sub", raw, raw), raw, axis=2)
        log_weight = np.log(model.weight / model.network.shape.n_members)
        log_proba = node("LogSoftmax", raw, axis=2)
        members.append(node("Add", log_proba, as_number(log_weight)))
    members = node("Concat", *members, axis=0) if len(members) > 1 else members[0]
    log_proba = node("ReduceLogSumExpApi18", members, axes=[0], keepdims=0)
    if not raw_scores:
        return node("Exp", log_proba)
    if binary:  # skl2onnx expects a column for each class: -s and s
        flipped = node("Gather", log_proba, _indices([1, 0]), axis=1)
        return node("Sub", log_proba, flipped)
    return log_proba
