"""One precision for all runs of a recipe in these tests. Left alone, each run probes
the machine, and beside other work two probes can answer differently: the second run
then refuses, rightly, to continue the record of the first.
"""

import pytest


# "package" would last to the end of the session, in every folder after this one
@pytest.fixture(scope="module", autouse=True)
def one_precision():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLIB_BF16", "0")
        yield
