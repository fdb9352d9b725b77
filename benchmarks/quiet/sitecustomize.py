"""Found by a worker whose monitor is to be quiet: figures and samples are taken and written no more."""

import sys

if "syncmon_ext.sync.worker" in sys.orig_argv:  # its helpers look here, too
    from syncmon_ext.sync import gauge, recorder

    gauge.REFRESH_SECONDS = 1e9  # type: ignore[misc]
    recorder.SAMPLE_SECONDS = 1e9  # type: ignore[misc]
    recorder.LISTEN_SECONDS = 1.0  # type: ignore[misc]
