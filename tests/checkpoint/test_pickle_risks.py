"""Every global that a public scanner was taught to fear is dangerous; what torch allows is safe.

The cases are those of the test suites and advisories of picklescan
(https://github.com/mmaitre314/picklescan), fickling (https://github.com/trailofbits/fickling) and
modelscan (https://github.com/protectai/modelscan).
"""

from __future__ import annotations

import pytest
import torch._weights_only_unpickler as torch_unpickler

from prunescope.checkpoint.pickle_risks import risk_of
from prunescope.checkpoint.pickle_values import COMPUTED, Global

# picklescan: module:names, a dotted name included.
PICKLESCAN = """
__builtin__:eval,exec,compile,getattr,apply,open,globals,breakpoint,__import__
builtins:eval,exec,compile,getattr,open,__import__
httplib:HTTPSConnection requests.api:get aiohttp.client:ClientSession
socket:create_connection subprocess:run sys:exit posix:system nt:system os:system
runpy:_run_code timeit:timeit numpy.testing._private.utils:runstring
operator:attrgetter,itemgetter,methodcaller _operator:attrgetter,methodcaller
pickle:loads _pickle:loads bdb:Bdb,Bdb.run venv:create pydoc:pipepager,locate pip:main
torch._inductor.codecache:compile_file torch.serialization:load functools:partial
ssl:get_server_certificate shutil:rmtree
torch.utils.bottleneck.__main__:run_cprofile,run_autograd_prof
torch._dynamo.guards:GuardBuilder.get
torch.fx.experimental.symbolic_shapes:ShapeEnv.evaluate_guards_expression
torch.utils.collect_env:run,run_and_read_all
torch.utils.data.datapipes.utils.decoder:basichandlers
torch.jit.unsupported_tensor_ops:execWrapper
torch.utils._config_module:ConfigModule.load_config
trace:Trace.run,Trace.runctx profile:Profile.run,Profile.runctx,run cProfile:run,runctx
lib2to3.pgen2.grammar:Grammar.loads lib2to3.pgen2.pgen:ParserGenerator.make_label
idlelib.debugobj:ObjectTreeItem.SetText idlelib.autocomplete:AutoComplete.get_entity
idlelib.calltip:Calltip.fetch_tip,get_entity idlelib.run:Executive.runcode
idlelib.pyshell:ModifiedInterpreter.runcode,ModifiedInterpreter.runcommand
code:InteractiveInterpreter.runcode ensurepip:_run_pip doctest:debug_script
asyncio.unix_events:_UnixSubprocessTransport._start distutils.file_util:write_file
ctypes:CDLL pty:spawn numpy.f2py.crackfortran:getlincoef _io:FileIO urllib.request:urlopen
logging:FileHandler pkgutil:resolve_name types:CodeType
cloudpickle.cloudpickle:_function_setstate,_builtin_type,_make_function,_make_cell,subimport
uuid:_get_command_stdout _osx_support:_read_output _aix_support:_read_cmd_output
imaplib:IMAP4_stream _pyrepl.pager:pipe_pager test.support.script_helper:assert_python_ok
commands:getoutput webbrowser:open
"""
FICKLING = """
marshal:loads types:FunctionType runpy:run_path importlib:import_module
code:InteractiveInterpreter multiprocessing.util:spawnv_passfds
smtplib:SMTP ftplib:FTP poplib:POP3 telnetlib:Telnet nntplib:NNTP
pathlib:os.system ast:parse _interpreters:create _xxsubinterpreters:create
_osx_support:_find_build_tool _posixsubprocess:fork_exec imp:load_source zipimport:zipimporter
gc:get_objects site:addsitedir unittest:main inspect:getattr_static codeop:compile_command
_frozen_importlib:_call_with_frames_removed http.client:HTTPConnection urllib2:urlopen
dill:loads joblib:load tempfile:NamedTemporaryFile filecmp:cmp pexpect:run pipes:Template
socketserver:TCPServer xmlrpc.server:SimpleXMLRPCServer signal:alarm threading:Thread
_thread:start_new_thread atexit:register sqlite3:connect fileinput:input glob:glob
platform:popen linecache:getlines difflib:HtmlDiff compileall:compile_file py_compile:compile
mmap:mmap select:select selectors:DefaultSelector syslog:openlog tarfile:open zipfile:ZipFile
shelve:open torch.hub:load torch:load,compile torch.storage:_load_from_bytes
torch.jit:script numpy.distutils:exec_command io:open,FileIO
fickling:check_safety picklescan:scan modelscan:scan modelaudit:scan
builtins:setattr,delattr,hasattr,locals,vars,input,memoryview
"""
MODELSCAN = "builtins:eval.__call__ requests.api:post pdb:run"
# What a pickle may also try, by names that lead through harmless objects.
LEADING = """
collections:_sys,abc.sys.modules dataclasses:_create_fn pathlib:Path.unlink,Path.write_text
numpy:ndarray.tofile,load,memmap torch:serialization.os,Tensor.apply_ torch.serialization:os,sys
torch:hub.load builtins:object.__subclasses__,str.__class__ copy:_reconstruct json:os
torch.fx.graph_module:reduce_graph_module transformers.dynamic_module_utils:get_class_in_module
mypackage:run.__globals__ __builtins__:len pandas:read_pickle copy_reg:pickle
"""


def names(cases: str) -> list[Global]:
    return [
        Global(module, name)
        for case in cases.split()
        for module, _, found in [case.partition(":")]
        for name in found.split(",")
    ]


@pytest.mark.parametrize("found", names(PICKLESCAN + FICKLING + MODELSCAN + LEADING), ids=str)
def test_what_runs_code_or_reaches_out_is_dangerous(found: Global) -> None:
    assert risk_of(found) == "dangerous"


def test_a_name_that_is_computed_while_loading_is_dangerous() -> None:
    assert risk_of(COMPUTED) == "dangerous"


@pytest.mark.parametrize("path", sorted(torch_unpickler._get_allowed_globals()))
def test_what_torchs_weights_only_unpickler_allows_is_safe(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert risk_of(Global(module, name)) == "safe"


NUMPY = """
numpy.core.multiarray:_reconstruct,scalar numpy._core.multiarray:_reconstruct,scalar
numpy:dtype,ndarray __builtin__:set,bytearray torch.cuda:FloatStorage torch:UntypedStorage
"""


@pytest.mark.parametrize("found", names(NUMPY), ids=str)
def test_arrays_and_python_2s_names_of_the_same_are_safe(found: Global) -> None:
    assert risk_of(found) == "safe"


CODE = """
transformers.models.llama.modeling_llama:LlamaForCausalLM torch.nn.modules.linear:Linear
transformers.training_args:TrainingArguments torch.distributed.checkpoint.metadata:Metadata
__main__:Model builtins:len,dict,ValueError,print __builtin__:dict,unicode,xrange
pathlib:PosixPath datetime:timedelta collections:defaultdict copy_reg:_reconstructor
torch.jit._pickle:build_intlist torch.optim.adamw:AdamW argparse:Namespace re:_compile io:BytesIO
mypackage.config:Outer.Inner torch._utils:_rebuild_xla_tensor copyreg:__newobj__ functools2:partial
osmium:system system:os_name
"""


@pytest.mark.parametrize("found", names(CODE), ids=str)
def test_everything_else_is_code(found: Global) -> None:
    assert risk_of(found) == "code"
