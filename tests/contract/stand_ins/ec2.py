"""Serves moto's EC2 until killed.

Run by the interpreter of moto's own environment: `ec2.py PORT`. Prints its address when it listens.
"""

import logging
import os
import sys
import threading

os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "true"

from moto.server import ThreadedMotoServer

if __name__ == "__main__":
    logging.disable()  # a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"http://{host}:{port}", flush=True)  # noqa: T201 whoever started it reads this
    threading.Event().wait()
