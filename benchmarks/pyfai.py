"""Seconds that pyFAI takes for one image on one thread, as JSON; `analysis --pyfai` runs it."""

import json
import logging
import os
import time

for threads in ("OMP_NUM_THREADS", "NUMEXPR_MAX_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402
from pyFAI.detectors import Detector  # noqa: E402
from pyFAI.integrator.azimuthal import AzimuthalIntegrator  # noqa: E402

logging.disable(logging.WARNING)
METHODS = [("bbox", "csr"), ("bbox", "csc"), ("no", "csr"), ("no", "csc"), ("no", "histogram")]

rows = []
for side in (1024, 3072):
    image = np.random.default_rng(1).poisson(3, (side, side)).astype(np.uint32)
    middle = 75e-6 * side / 2
    for splitting, algorithm in METHODS:
        integrator = AzimuthalIntegrator(0.2, middle, middle, detector=Detector(75e-6, 75e-6, max_shape=(side, side)),
                                         wavelength=1e-10)
        seconds = []
        for _ in range(8):
            begin = time.process_time()
            integrator.integrate1d(image, 1000, unit="q_nm^-1", method=(splitting, algorithm, "cython"),
                                   polarization_factor=0.99, error_model="poisson")
            seconds.append(time.process_time() - begin)
        rows.append({"side": side, "splitting": splitting, "algorithm": algorithm, "seconds": seconds[1:]})
print(json.dumps(rows))
