"""inference-schema: several parameters, with conversion, an optional and a default one."""

import numpy as np
import pandas as pd
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema


def init():
    pass


@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@input_schema("frame", PandasParameterType(pd.DataFrame({"a": [1], "b": ["x"]})), optional=True)
@input_schema("count", StandardPythonParameterType(5))
@input_schema("more", StandardPythonParameterType({"x": 1.5, "y": ["a"], "z": {"q": True}}), optional=True)
@output_schema(StandardPythonParameterType([0.1]))
def run(data, count, frame=None, more=None, flag=False):
    columns = None if frame is None else {str(c): frame[c].tolist() for c in frame.columns}
    return {"data": data.tolist(), "dtype": str(data.dtype), "count": count, "frame": columns, "more": more, "flag": flag}
