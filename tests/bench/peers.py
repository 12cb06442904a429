"""The gateway as a peer of another benchmark, which executes this file with its own names in scope.

It takes PEERS and os from there, and BENCH_PEERS, the variable that names this file. What the gateway is started with is
in harness/gateway.py, where this repository's own benchmark has it from too.
"""
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(os.environ["BENCH_PEERS"])), "harness"))
import gateway as our_gateway

PEERS.update(our_gateway.PEERS)
