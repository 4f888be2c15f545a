"""The curated environments of the `azureml` registry as package sets.

The sets hold what training and scoring code imports in those environments, not all of what the images carry: notebook kernels,
profilers, debuggers and the SDK v1 are left out. All of it is soft (see PackageSet): the versions are those that the name promises,
loosened where this machine's Python has no wheels for them."""

from __future__ import annotations

import re

import msgspec

from lazward.domain.package_set import PackageSet


class CuratedEnvironment(msgspec.Struct, frozen=True):
    """A built-in environment: `version` is the newest; every other version number of the name means the same set."""

    name: str
    version: str
    image: str
    packages: PackageSet
    description: str


# As Azure's own images: code for them was written for MLflow 2, whose log_model calls MLflow 3 takes differently.
_TRACKING = ("mlflow-skinny>=2.10,<3", "azureml-mlflow")
_DATA = ("numpy<2", "pandas>=1.1,<2", "scipy>=1.5", "matplotlib>=3.3", "joblib", "psutil", "tqdm", "pyarrow")
_MODERN_DATA = ("numpy", "pandas<3", "scipy", "matplotlib", "joblib", "psutil", "tqdm", "pyarrow", "scikit-learn")
_SERVER = ("azureml-inference-server-http", "inference-schema[numpy-support]", "joblib", "numpy")
_HUGGING_FACE = ("transformers", "datasets", "accelerate", "evaluate", "sentencepiece", "peft", "safetensors")


def _sklearn(version: tuple[int, ...]) -> tuple[str, ...]:
    # numpy 1.24 removed names that scikit-learn before 1.2 and the code of its time use.
    data = _DATA if version >= (1, 2) else ("numpy<1.24", *_DATA[1:])
    return (f"scikit-learn=={_dotted(version)}.*", *data, *_TRACKING)


def _torch(version: tuple[int, ...]) -> tuple[str, ...]:
    data = _MODERN_DATA if version >= (2, 3) else ("numpy<2", *_MODERN_DATA[1:])  # compiled against numpy 1 until then
    return (f"torch=={_dotted(version)}.*", "torchvision", "tensorboard", *data, *_TRACKING)


def _tensorflow(version: tuple[int, ...]) -> tuple[str, ...]:
    data = _MODERN_DATA if version >= (2, 18) else ("numpy<2", *_MODERN_DATA[1:])
    return (f"tensorflow=={_dotted(version)}.*", "tensorboard", *data, *_TRACKING)


def _lightgbm(version: tuple[int, ...]) -> tuple[str, ...]:
    return (f"lightgbm>={_dotted(version)}", "xgboost<2", "scikit-learn>=1.0,<1.6", *_DATA, *_TRACKING)


def _xgboost(version: tuple[int, ...]) -> tuple[str, ...]:
    return (f"xgboost=={_dotted(version)}.*", "scikit-learn", *_DATA, *_TRACKING)


def _onnx(version: tuple[int, ...]) -> tuple[str, ...]:
    return (f"onnxruntime=={_dotted(version)}.*", *_DATA)


# Families: a word in the name, then the version. The first that matches makes the set; pyNN in the name makes the Python version.
_FAMILIES = (
    (re.compile(r"(?:scikit-?learn|sklearn)-(\d+(?:\.\d+)?)"), _sklearn),
    (re.compile(r"(?:pytorch|torch)-?(\d+(?:\.\d+)?)"), _torch),
    (re.compile(r"(?:tensorflow|tf)-?(\d+(?:\.\d+)?)"), _tensorflow),
    (re.compile(r"lightgbm-(\d+(?:\.\d+)?)"), _lightgbm),
    (re.compile(r"xgboost-(\d+(?:\.\d+)?)"), _xgboost),
    (re.compile(r"onnxruntime-(\d+(?:\.\d+)?)"), _onnx),
)
_PYTHON = re.compile(r"(?:^|[-_])py-?(\d)\.?(\d{1,2})(?:$|[-_.])")
_AUTOML = ("scikit-learn>=1.2,<1.6", "lightgbm", "xgboost<3", "statsmodels", "holidays", *_DATA, *_TRACKING)
_DEEP = ("torch", "torchvision", *_HUGGING_FACE, *_MODERN_DATA, *_TRACKING)
_RESPONSIBLE = (
    "responsibleai==0.36.*", "raiwidgets==0.36.*", "scikit-learn==1.5.*", "shap<0.47", "fairlearn<0.8", "scipy<1.16",
    *(d for d in _DATA if not d.startswith("scipy")), *_TRACKING,
)  # fmt: skip
_DESIGNER = ("scikit-learn", "lightgbm", *_DATA, *_TRACKING)

# name, newest version, Python, packages (None: by the family in the name), description
_TABLE: tuple[tuple[str, int, str, tuple[str, ...] | None, str], ...] = (
    ("sklearn-1.5", 40, "3.10", None, "scikit-learn 1.5 with pandas 1.5, NumPy 1, SciPy, Matplotlib and MLflow tracking"),
    ("sklearn-1.1", 40, "3.8", None, "scikit-learn 1.1 with pandas 1, NumPy 1 and MLflow tracking"),
    ("sklearn-1.0", 40, "3.8", None, "scikit-learn 1.0 with pandas 1, NumPy 1 and MLflow tracking"),
    ("sklearn-1.1-ubuntu20.04-py38-cpu", 40, "3.8", None, "scikit-learn 1.1 with pandas 1, NumPy 1 and MLflow tracking"),
    ("sklearn-1.0-ubuntu20.04-py38-cpu", 60, "3.8", None, "scikit-learn 1.0 with pandas 1, NumPy 1 and MLflow tracking"),
    ("sklearn-0.24-ubuntu18.04-py37-cpu", 60, "3.7", None, "scikit-learn 0.24 with pandas 1, NumPy 1 and MLflow tracking"),
    ("lightgbm-3.3", 40, "3.10", None, "LightGBM and XGBoost with scikit-learn, pandas 1 and MLflow tracking"),
    ("lightgbm-3.2-ubuntu18.04-py37-cpu", 60, "3.7", None, "LightGBM and XGBoost with scikit-learn, pandas 1 and MLflow tracking"),
    ("acpt-pytorch-2.8-cuda12.6", 20, "3.10", None, "PyTorch 2.8 with torchvision, TensorBoard, pandas and MLflow tracking"),
    ("acpt-pytorch-2.2-cuda12.1", 40, "3.10", None, "PyTorch 2.2 with torchvision, TensorBoard, pandas and MLflow tracking"),
    ("acpt-pytorch-1.13-cuda11.7", 40, "3.8", None, "PyTorch 1.13 with torchvision, TensorBoard, pandas and MLflow tracking"),
    ("tensorflow-2.16-cuda12", 40, "3.11", None, "TensorFlow 2.16 with TensorBoard, pandas and MLflow tracking"),
    ("tensorflow-2.16-cuda11", 40, "3.11", None, "TensorFlow 2.16 with TensorBoard, pandas and MLflow tracking"),
    ("tensorflow-2.12-cuda11", 40, "3.10", None, "TensorFlow 2.12 with TensorBoard, pandas and MLflow tracking"),
    ("minimal-py311-inference", 40, "3.11", _SERVER, "The HTTP scoring server with NumPy and joblib, Python 3.11"),
    ("minimal-py312-inference", 40, "3.12", _SERVER, "The HTTP scoring server with NumPy and joblib, Python 3.12"),
    ("minimal-py312-cuda12.4-inference", 20, "3.12", _SERVER, "The HTTP scoring server with NumPy and joblib, Python 3.12"),
    ("minimal-ubuntu20.04-py38-cpu-inference", 60, "3.8", _SERVER, "The HTTP scoring server with NumPy and joblib, Python 3.8"),
    ("mlflow-py312-inference", 20, "3.12", ("mlflow", "scikit-learn", "pandas", "psutil", "cloudpickle", *_SERVER),
     "MLflow models behind the HTTP scoring server, Python 3.12"),
    ("mlflow-ubuntu20.04-py38-cpu-inference", 60, "3.8", ("mlflow", "scikit-learn", "pandas<2", "psutil", "cloudpickle", *_SERVER),
     "MLflow models behind the HTTP scoring server, Python 3.8"),
    ("ai-ml-automl", 20, "3.10", _AUTOML, "Automated machine learning on tables"),
    ("ai-ml-automl-gpu", 20, "3.10", _AUTOML, "Automated machine learning on tables"),
    ("ai-ml-automl-dnn", 20, "3.10", (*_AUTOML, "torch"), "Automated machine learning with deep networks"),
    ("ai-ml-automl-dnn-gpu", 20, "3.10", (*_AUTOML, "torch"), "Automated machine learning with deep networks"),
    ("ai-ml-automl-dnn-text-gpu", 20, "3.10", _DEEP, "Automated machine learning on text"),
    ("ai-ml-automl-dnn-vision-gpu", 20, "3.10", _DEEP, "Automated machine learning on images"),
    ("ai-ml-automl-dnn-forecasting-gpu", 20, "3.10", (*_AUTOML, "torch"), "Automated forecasting with deep networks"),
    ("responsibleai-tabular", 40, "3.10", _RESPONSIBLE, "Responsible AI insights on tables"),
    ("responsibleai-ubuntu20.04-py38-cpu", 60, "3.8", _RESPONSIBLE, "Responsible AI insights on tables"),
    ("acft-hf-nlp-gpu", 90, "3.10", _DEEP, "Fine-tuning of language models with Hugging Face libraries"),
    ("acft-hf-nlp-data-import", 90, "3.10", (*_HUGGING_FACE, *_MODERN_DATA, *_TRACKING), "Data import for fine-tuning"),
    ("acft-transformers-image-gpu", 60, "3.10", _DEEP, "Fine-tuning of image models with Hugging Face libraries"),
    ("acft-multimodal-gpu", 40, "3.10", _DEEP, "Fine-tuning of multimodal models"),
    ("foundation-model-inference", 60, "3.10", ("torch", *_HUGGING_FACE, "mlflow", *_SERVER), "Scoring of foundation models"),
    ("model-evaluation", 40, "3.10", ("torch", *_HUGGING_FACE, *_MODERN_DATA, *_TRACKING), "Evaluation of models"),
    ("llm-rag-embeddings", 60, "3.10", ("langchain", "openai", "faiss-cpu", "tiktoken", *_MODERN_DATA, *_TRACKING),
     "Retrieval-augmented generation: chunking, embedding, indexes"),
    ("python-sdk-v2", 40, "3.10", ("azure-ai-ml", "azure-identity", "pandas", "numpy", *_TRACKING), "The SDK v2 and MLflow tracking"),
    ("mldesigner", 20, "3.10", ("mldesigner", "azure-ai-ml", "pandas", "numpy", *_TRACKING), "Components written as Python functions"),
    ("mldesigner-minimal", 20, "3.10", ("mldesigner",), "Components written as Python functions, without the SDK and MLflow"),
    ("designer", 40, "3.10", _DESIGNER, "Components of the designer"),
)  # fmt: skip
_EXPLICIT = {row[0]: row for row in _TABLE}

_PREFIXES = (
    re.compile(r"^azureml://(?:registries/azureml/|locations/[^/]+/)?environments/([^/]+)(?:/(?:labels|versions)/.*)?$", re.IGNORECASE),
    re.compile(r"^(?:docker://)?mcr\.microsoft\.com/azureml/curated/([^:@/]+)(?:[:@].*)?$", re.IGNORECASE),
    re.compile(r"^azureml:([^:@/]+)(?:[:@].*)?$", re.IGNORECASE),
    re.compile(r"^([^:@/]+)(?:[:@].*)?$"),
)


def curated(name: str) -> CuratedEnvironment | None:
    """The environment meant by a bare name, `AzureML-NAME`, `azureml:NAME@latest`, `azureml://registries/azureml/environments/NAME/...`
    or `mcr.microsoft.com/azureml/curated/NAME[:tag]`; None for a name that is neither in the table nor of a known family."""
    found = next((m for p in _PREFIXES if (m := p.match(name.strip()))), None)
    if found is None:
        return None
    key = re.sub(r"^azureml-", "", found.group(1).lower())
    row = _EXPLICIT.get(key) or _by_name(key)
    return None if row is None else _environment(*row)


def all_curated() -> tuple[CuratedEnvironment, ...]:
    """What the built-in `azureml` registry lists."""
    return tuple(_environment(*row) for row in _TABLE)


def python_in_name(name: str) -> str:
    """"py38" -> "3.8", "" where the name has none."""
    found = _PYTHON.search(name)
    return f"{found.group(1)}.{found.group(2)}" if found else ""


def family_packages(key: str) -> tuple[str, ...] | None:
    """The packages of `sklearn-1.3-...`, `pytorch-2.0-...`, `...-torch1131` and the like, None for other names."""
    for pattern, packages in _FAMILIES:
        found = pattern.search(key)
        if found:
            return packages(_version(found.group(1)))
    return None


def _by_name(key: str) -> tuple[str, int, str, tuple[str, ...] | None, str] | None:
    python = python_in_name(key)
    packages = family_packages(key)
    if packages is None and re.search(r"(^|[-_])(acft|finetune|acpt|transformers|hugging-?face)([-_]|$)", key):
        packages = _DEEP
    if packages is None and re.search(r"(^|[-_])automl([-_]|$)", key):
        packages = _AUTOML
    if packages is None and key.startswith("responsibleai"):
        packages = _RESPONSIBLE
    if packages is None and "mlflow" in key:
        packages = ("mlflow", "scikit-learn", "pandas", *_SERVER)
    if packages is None and (key.startswith("minimal") or key.endswith("-inference")):
        packages = ()
    if packages is None:
        return None
    if key.endswith("-inference"):
        packages = (*packages, *(s for s in _SERVER if s not in packages))
    return key, 1, python, packages, f"Made from the name {key}"


def _environment(name: str, version: int, python: str, packages: tuple[str, ...] | None, description: str) -> CuratedEnvironment:
    soft = packages if packages is not None else family_packages(name) or ()
    note = f"{name} is the built-in set of that name: what code imports, without the image's system packages and tools"
    return CuratedEnvironment(
        name=name,
        version=str(version),
        image=f"mcr.microsoft.com/azureml/curated/{name}:{version}",
        packages=PackageSet(python=python, soft=tuple(dict.fromkeys(soft)), notes=(note,)),
        description=description,
    )


def _version(text: str) -> tuple[int, ...]:
    """"1.5" -> (1, 5); "1131" and "280", as in torch1131, -> (1, 13) and (2, 8)."""
    if "." in text or len(text) < 3:
        return tuple(int(p) for p in text.split("."))
    return int(text[0]), int(text[1:-1])


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(v) for v in version)
