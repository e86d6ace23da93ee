"""One side of one comparison, in a process of its own: `python -m bench.side <comparison> <ours|peer> ...`.

Reads `warm_up` or `run`, one a line, from its standard input; answers each with one line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path


def main(name: str, side: str, folder: str, share: str, threads: str) -> None:
    # Whatever a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import torch

    from .comparisons import COMPARISONS
    from .work import Work

    torch.set_num_threads(int(threads))
    comparison = COMPARISONS[name]
    make = comparison.make_ours if side == "ours" else comparison.make_peer
    made = make(Work(Path(folder), float(share)))
    for line in sys.stdin:
        answer = made.warm_up() if line.strip() == "warm_up" else made.run()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        answers.write(json.dumps(answer | {"peak_bytes": peak}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
