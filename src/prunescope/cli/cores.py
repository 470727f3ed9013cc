"""Which cores does numpy's BLAS get? None but the caller's, where a command keeps all of them busy.

OpenBLAS, which numpy's wheels bring, starts a thread for each core when it is loaded and waits in a
loop for those it shares a product with: one of 16 rows then takes several times its processor time,
and many times its time where the cores are busy ("How can I use OpenBLAS in multi-threaded
applications?", https://github.com/OpenMathLib/OpenBLAS/wiki/Faq).
"""

from __future__ import annotations

import os

_VARIABLE = "OPENBLAS_NUM_THREADS"


def keep_from_blas() -> None:
    """Have BLAS compute in the thread that calls it, before numpy is imported.

    What the user has set stays.
    """
    os.environ.setdefault(_VARIABLE, "1")
