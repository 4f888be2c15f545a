"""inference-schema with parameter types inside a dict, as AutoML writes its scoring scripts."""

import numpy as np
import pandas as pd
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

data_sample = PandasParameterType(pd.DataFrame({"age": pd.Series([1], dtype="int64"), "job": pd.Series(["x"])}))
input_sample = StandardPythonParameterType({"data": data_sample})
method_sample = StandardPythonParameterType({"method": "predict"})
result_sample = NumpyParameterType(np.array([0]))
output_sample = StandardPythonParameterType({"Results": result_sample})


def init():
    pass


@input_schema("Inputs", input_sample)
@input_schema("GlobalParameters", method_sample, convert_to_provided_type=False)
@output_schema(output_sample)
def run(Inputs, GlobalParameters={"method": "predict"}):  # noqa: B006 - as AutoML has it
    frame = Inputs["data"]
    return {"Results": frame["age"].tolist(), "columns": list(frame.columns), "method": GlobalParameters}
