"""Which globals of a pickle are known to be harmless, allowed or dangerous? The lists.

Sources: torch's weights-only unpickler
(https://github.com/pytorch/pytorch/blob/main/torch/_weights_only_unpickler.py) for what is safe;
for what is dangerous the lists and advisories of https://github.com/mmaitre314/picklescan,
https://github.com/trailofbits/fickling and https://github.com/protectai/modelscan.
"""

from __future__ import annotations

from prunescope.checkpoint.dtypes import TORCH_DTYPES, TORCH_STORAGES


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HARMLESS_BUILTINS = _words(
    "abs all any ascii bin bool bytearray bytes callable chr classmethod complex dict divmod "
    "enumerate filter float format frozenset hash hex id int isinstance issubclass iter len list "
    "map max min next object oct ord pow print property range repr reversed round set slice "
    "sorted staticmethod str sum super tuple type zip Ellipsis NotImplemented"
)
# Their classes are data, and their functions reach nothing outside.
HARMLESS_STDLIB = _words(
    "__future__ abc array calendar collections copy datetime decimal enum fractions heapq "
    "ipaddress itertools math numbers pathlib queue random statistics string struct time "
    "zoneinfo"
)
HARMLESS_NAMES = frozenset(
    {
        ("argparse", "Namespace"),
        ("copyreg", "_reconstructor"),
        ("copyreg", "__newobj__"),
        ("io", "BytesIO"),
        ("re", "_compile"),
        ("types", "SimpleNamespace"),
        ("uuid", "UUID"),
        ("weakref", "WeakValueDictionary"),
        ("weakref", "WeakKeyDictionary"),
    }
)
# The standard library of other Pythons than this one, Python 2's included.
OTHER_STDLIB = _words(
    "__builtins__ _xxsubinterpreters asynchat asyncore cgi commands crypt distutils httplib imp "
    "lib2to3 nntplib nt pipes popen2 smtpd telnetlib urllib2 urlparse xmlrpclib _interpreters "
    "_pyrepl _remote_debugging annotationlib compression"
)
# A module and all within it, or one name in a module.
DANGEROUS = _words(
    # Other loaders of pickles, shells, installers, clients; and the scanners themselves, which
    # a pickle names only to disable them.
    "IPython aiohttp cffi cloudpickle dill execnet fabric fickling fsspec gevent httpx invoke "
    "joblib jsonpickle modelaudit modelscan numba paramiko pexpect picklescan pip pkg_resources "
    "plumbum psutil ptyprocess pyarrow.serialization requests saferpickle setuptools sh test "
    "tornado twisted urllib3 websockets yaml "
    "huggingface_hub numpy.ctypeslib numpy.distutils numpy.f2py numpy.fromfile numpy.load "
    "numpy.lib.npyio numpy.lib._npyio_impl numpy.memmap numpy.testing "
    "pandas.eval pandas.io pandas.read_pickle pandas.core.computation "
    "tensorflow.io tensorflow.load_op_library tensorflow.raw_ops "
    "torch._dynamo torch._inductor torch.compile torch.distributed.elastic "
    "torch.distributed.launch torch.distributed.run torch.distributed.rpc "
    "torch.fx.experimental torch.fx.graph_module torch.hub torch.jit torch.load "
    "torch.multiprocessing torch.ops torch.package torch.serialization.load "
    "torch.storage._load_from_bytes torch.testing torch.utils._config_module "
    "torch.utils.benchmark torch.utils.bottleneck torch.utils.collect_env "
    "torch.utils.cpp_extension torch.utils.data.datapipes torch.utils.model_zoo "
    "transformers.dynamic_module_utils transformers.utils.hub"
)
_SAFE_TORCH = _words(
    "torch.Size torch.Tensor torch.device torch.nn.parameter.Parameter "
    "torch.serialization._get_layout torch.storage.TypedStorage torch.storage.UntypedStorage "
    "torch._tensor._rebuild_from_type_v2 torch.per_tensor_affine torch.per_tensor_symmetric "
    "torch.per_channel_affine torch.per_channel_symmetric "
    "torch.per_channel_affine_float_qparams torch.QInt8Storage torch.QUInt8Storage "
    "torch.QInt32Storage torch.QUInt4x2Storage torch.QUInt2x4Storage "
    "torch._utils._rebuild_parameter torch._utils._rebuild_parameter_with_state "
    "torch._utils._rebuild_qtensor torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2 "
    "torch._utils._rebuild_tensor_v3 torch._utils._rebuild_sparse_tensor "
    "torch._utils._rebuild_meta_tensor_no_storage torch._utils._rebuild_nested_tensor "
    "torch._utils._rebuild_wrapper_subclass torch._utils._rebuild_device_tensor_from_numpy "
    "torch._utils._rebuild_device_tensor_from_cpu_tensor"
)
_PLACES = ("torch", "torch.cuda", "torch.sparse", "torch.cuda.sparse")
_TENSORS = tuple(name.replace("Storage", "Tensor") for name in TORCH_STORAGES)
SAFE = frozenset(
    {
        *_SAFE_TORCH,
        *(f"torch.{name}" for name in (*TORCH_DTYPES, *TORCH_STORAGES)),
        *(f"torch.cuda.{name}" for name in TORCH_STORAGES),
        *(f"torch.{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 8)),
        *(f"torch.{name}" for name in ("quint8", "qint8", "qint32", "quint4x2", "quint2x4")),
        *(f"torch.{name}" for name in ("complex32", "float4_e2m1fn_x2")),
        *(f"torch.bits{form}" for form in ("8", "16", "1x8", "2x4", "4x2")),
        *(f"{place}.{name}" for place in _PLACES for name in _TENSORS),
        "collections.OrderedDict",
        "collections.Counter",
        "_codecs.encode",
        *(f"builtins.{name}" for name in ("bytearray", "set", "complex")),
        *("numpy.dtype", "numpy.ndarray"),
        *(
            f"numpy.{core}.multiarray.{name}"
            for core in ("core", "_core")
            for name in ("_reconstruct", "scalar")
        ),
    }
)
# Names that lead from a harmless object to any other.
LEADING = frozenset({"os", "sys", "subprocess", "importlib", "shutil", "socket", "ctypes", "nt"})
