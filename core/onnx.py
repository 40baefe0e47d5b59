"""A trained neuron elsewhere: as an ONNX file, which many runtimes execute, or in a module of PyTorch or scikit-learn.

`export` writes the file. In ONNX Runtime, with photographs (m, h, w, c) of bytes::

    import onnxruntime

    session = onnxruntime.InferenceSession("model.onnx")
    (probability,) = session.run(None, {"pixels": photographs})  # (m, 1), of class 1

The parameters are NumPy arrays, which other libraries take as they are. Below, X (n, m) are the same bytes, a column
per example, as in ``Dataset.train.X``, and `input_scale` is folded into the weights. In PyTorch::

    import torch
    from handgrad.run import load_model

    model = load_model("run/")
    W, b = model.parameters
    linear = torch.nn.Linear(W.size, 1)
    linear.load_state_dict({"weight": torch.tensor(model.input_scale * W), "bias": torch.tensor(b).reshape(1)})
    probability = torch.sigmoid(linear(torch.tensor(X.T).float()))  # (m, 1), of class 1

In scikit-learn, whose `LogisticRegression` gives the names of the classes, too::

    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from handgrad.run import load_model

    model, classifier = load_model("run/"), LogisticRegression()
    classifier.coef_ = model.input_scale * model.parameters.W  # (1, n)
    classifier.intercept_ = model.parameters.b.reshape(1)
    classifier.classes_ = np.array(model.classes)
    probability = classifier.predict_proba(X.T)[:, 1:]  # (m, 1), of class 1
"""

import json
from pathlib import Path

import numpy as np

from handgrad.errors import MissingExtraError, UsageError
from handgrad.run import Model
from handgrad.store import must_be_new, write
from handgrad.version import __version__

try:
    import onnx
    from onnx import helper, numpy_helper
except ModuleNotFoundError:
    raise MissingExtraError("ONNX", "onnx") from None

OPSET, IR_VERSION = 13, 7
"""Those of ONNX 1.8, of 2020: old enough for any runtime in use, and nothing newer is needed."""


def export(model: Model, path: Path) -> None:
    """Write a model as an ONNX file: A = f(W (s X) + b), as Flatten, Cast, Mul by s, Gemm and f.

    Its one input is named for the kind of features, "pixels", "gray" or "hog": bytes (batch, h, w, c) of any number of
    examples, uint8, (h, w, c) being `Model.size`. For "gray" and "hog" these are the features, not the photograph: take
    them by `Features.of`. Photographs are to be resized before, as those to train on were, by `read_photograph`.

    Its one output is (batch, 1), of the model's dtype: with the sigmoid "probability", that of class 1, which is said
    to be the class where it is above 0.5; otherwise "activation". It differs from `Neuron.predict_proba` by rounding;
    ONNX Runtime's float32 sigmoid is right to 2e-7 only, so that it may give 0 for a smaller probability.

    The file's metadata are "classes", "photograph", (h, w), and "exact", as in `Features`, as JSON; "features"; "data",
    the hash of the data set; and "handgrad", the version that wrote it.

    Args:
        model: of any activation.
        path: a new file, named .onnx.

    Raises:
        UsageError: the name has another ending, the file exists already or cannot be written.
    """
    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path}: expected a name that ends in .onnx, by which runtimes know such a file")
    must_be_new(path)
    kind, (height, width), classes = model.features.kind, model.features.photograph, model.classes
    output = "probability" if model.activation == "sigmoid" else "activation"
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(model.dtype))
    constants = {"s": model.input_scale, "W": model.parameters.W, "b": np.reshape(model.parameters.b, 1)}
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", [kind], ["bytes"]),  # (batch, n)
            helper.make_node("Cast", ["bytes"], ["X"], to=dtype),
            helper.make_node("Mul", ["X", "s"], ["sX"]),
            helper.make_node("Gemm", ["sX", "W", "b"], ["Z"], transB=1),  # (batch, 1)
            helper.make_node(model.activation.capitalize(), ["Z"], [output]),
        ],
        "neuron",
        [helper.make_tensor_value_info(kind, onnx.TensorProto.UINT8, ["batch", *model.size])],
        [helper.make_tensor_value_info(output, dtype, ["batch", 1])],
        [numpy_helper.from_array(np.asarray(V, model.dtype), name) for name, V in constants.items()],
    )
    taken = f"photographs of {height} x {width}" if kind == "pixels" else f"{kind} features, not photographs"
    exported = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="handgrad",
        producer_version=__version__,
        doc_string=f"One neuron: the {output}, {classes[1]} against {classes[0]}, of {taken}",
    )
    about = {"classes": classes, "photograph": [height, width], "exact": model.features.exact}
    said = {"features": kind, "data": model.data, "handgrad": __version__}
    helper.set_model_props(exported, said | {name: json.dumps(value) for name, value in about.items()})
    onnx.checker.check_model(exported, full_check=True)
    write(path, exported.SerializeToString())
