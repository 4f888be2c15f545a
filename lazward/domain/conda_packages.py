"""How the packages of conda channels are called on PyPI, and which of them no Python package index has.

Names are facts of the two registries. A name that stands in none of the tables is taken to be the same on PyPI, which holds for
most; where it does not, the resolver says that there is no such package and the error names the line."""

from __future__ import annotations

import re

# conda name -> PyPI requirement name (with extras where the conda package brings them).
RENAMED: dict[str, str] = {
    "brotli-python": "brotli", "bs4": "beautifulsoup4", "dask": "dask[complete]", "dask-core": "dask",
    "faiss": "faiss-cpu", "faiss-gpu": "faiss-gpu-cu12", "fbprophet": "prophet", "ignite": "pytorch-ignite",
    "jax-cuda": "jax", "keras-base": "keras", "keras-gpu": "keras", "matplotlib-base": "matplotlib",
    "modin-all": "modin[all]", "modin-core": "modin", "modin-dask": "modin[dask]", "modin-ray": "modin[ray]",
    "msgpack-python": "msgpack", "mxnet-gluon": "mxnet", "numpy-base": "numpy", "opencv": "opencv-python-headless",
    "pandas-profiling": "ydata-profiling", "pil": "pillow", "plotly_express": "plotly",
    "psycopg2": "psycopg2-binary", "py-lightgbm": "lightgbm", "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost", "py-xgboost-cpu": "xgboost", "py-xgboost-gpu": "xgboost", "pyarrow-core": "pyarrow",
    "pyg": "torch-geometric", "pyqt": "pyqt5", "pytables": "tables", "python-annoy": "annoy",
    "python-blosc": "blosc", "python-duckdb": "duckdb", "python-fastjsonschema": "fastjsonschema",
    "python-flatbuffers": "flatbuffers", "python-graphviz": "graphviz", "python-kubernetes": "kubernetes",
    "python-libarchive-c": "libarchive-c", "python-lmdb": "lmdb", "python-lz4": "lz4", "python-tzdata": "tzdata",
    "python-wget": "wget", "python-xxhash": "xxhash", "python-zstd": "zstd", "pytorch": "torch",
    "pytorch-cpu": "torch", "pytorch-gpu": "torch", "pytorch_geometric": "torch-geometric", "ray-all": "ray[all]",
    "ray-core": "ray", "ray-data": "ray[data]", "ray-default": "ray[default]", "ray-rllib": "ray[rllib]",
    "ray-serve": "ray[serve]", "ray-train": "ray[train]", "ray-tune": "ray[tune]", "ruamel": "ruamel.yaml",
    "sqlalchemy-base": "sqlalchemy", "tensorflow-base": "tensorflow", "tensorflow-eigen": "tensorflow",
    "tensorflow-gpu": "tensorflow", "tensorflow-mkl": "tensorflow", "torchaudio-cpu": "torchaudio",
    "torchvision-cpu": "torchvision", "uvicorn-standard": "uvicorn[standard]", "xgboost-cpu": "xgboost",
    "xgboost-gpu": "xgboost",
}  # fmt: skip

# Not Python packages: libraries, compilers and tools that a conda environment carries beside Python. A wheel brings the libraries it
# needs itself; a program (java, git, ffmpeg) is used from the machine where it is installed.
_LIBRARIES = re.compile(
    r"^(_.*(mutex|select).*|ld_impl_.*|lib[a-z0-9_+.-]*|binutils.*|gcc.*|gxx.*|gfortran.*|clang.*|llvm|llvm-openmp|llvmdev|sysroot.*"
    r"|compilers|c-compiler|cxx-compiler|fortran-compiler|.*[_-]impl[_-]linux-.*|.*_linux-64|kernel-headers.*"
    r"|cudatoolkit.*|cuda(-.*)?|cuda-version|cudnn|nccl|cutensor|pytorch-cuda|pytorch-mutex|cpuonly|nvidia-.*|magma.*|triton-cuda"
    r"|mkl|mkl-.*|mkl_.*|intel-openmp|blas|blosc|openblas.*|nomkl|lapack|tbb|fftw|gmp|mpfr|mpc|isl|suitesparse|glpk|metis|eigen|boost(-cpp)?"
    r"|openmpi(-.*)?|mpich|mpi|impi_rt|ucx|hwloc|rdma-core"
    r"|openssl|ca-certificates|zlib|zlib-ng|xz|bzip2|lz4-c|zstd|snappy|brotli|c-ares|c-blosc2?|aws-.*|krb5|readline|ncurses|sqlite|tk|icu"
    r"|yaml|expat|pcre2?|gettext|glib|glib-tools|gobject-introspection|dbus|fontconfig|freetype|font-.*|fonts-.*|harfbuzz|pango|cairo"
    r"|pixman|graphite2|fribidi|giflib|jpeg|lcms2|leptonica|openjpeg|tiff|x264|x265|aom|dav1d|svt-av1|ffmpeg|gst.*|gstreamer|nettle|gnutls"
    r"|openh264|lerc|xorg-.*|qt(-.*)?|qt-main|qt6-main|qt-webengine|nspr|nss|alsa-lib|pulseaudio.*|portaudio|sox|mesa.*|glew|glfw"
    r"|arrow-cpp|parquet-cpp|orc|thrift-cpp|grpc-cpp|re2|gflags|glog|abseil-cpp|protobuf-c|flatbuffers-cpp|hdf[45]|geos|proj|gdal-.*"
    r"|netcdf4-c|unixodbc|freetds|postgresql|mysql-connector-c|mysql-common|geotiff|poppler.*|tesseract|graphviz|pandoc|texlive.*|ghostscript"
    r"|openjdk|maven|nodejs|yarn|go|rust|make|automake|autoconf|pkg-config|bison|flex|patchelf|git|git-lfs|curl|wget|unzip|zip|tar|rsync"
    r"|vim|nano|tmux|htop|coreutils|bash|openssh|jq|p7zip|less|findutils|gawk|sed|which|file|perl|aria2"
    r"|conda|conda-.*|mamba|micromamba|anaconda(-.*)?|nb_conda.*|python_abi|tzdata|atk.*|lame|onnxruntime-cpp|py-boost|tbb4py|zeromq)$"
)
# Exceptions to the patterns above: these are Python packages on PyPI.
_PYTHON_AFTER_ALL = {
    "libcst", "libarchive-c", "libclang", "libsass", "libtmux", "librosa", "libsvm", "libusb1", "libpysal", "libretranslate",
    "liblinear-official", "qtpy", "gcsfs", "gcloud", "aws-sam-translator", "aws-lambda-powertools", "aws-xray-sdk", "clang-format",
    "clang-tidy", "anaconda-client", "nvidia-ml-py", "nvidia-dali-cuda100", "nvidia-dali-cuda110", "nvidia-dali-cuda120",
    "mkl-service-python", "libcloud", "libtpu", "cuda-python", "cuda-bindings",
}  # fmt: skip
_NOT_PYTHON = re.compile(r"^(r|r-.*|rpy2-r|mro-base|rstudio.*|bioconductor-.*|julia|octave(-.*)?|ruby(-.*)?|perl-.*|php|lua(-.*)?|scala|ghc)$")

CPU_BUILDS = {"cpuonly", "pytorch-cpu", "torchvision-cpu", "torchaudio-cpu", "py-xgboost-cpu"}


def is_not_python(name: str) -> bool:
    """True for the packages of another language: leaving one out would leave out what the environment is for."""
    return bool(_NOT_PYTHON.match(name))


def pypi_name(name: str) -> str | None:
    """The PyPI name of a conda package (lower case), or None for what is no Python package and can be left out."""
    if name in RENAMED:
        return RENAMED[name]
    if name not in _PYTHON_AFTER_ALL and _LIBRARIES.match(name):
        return None
    return name
