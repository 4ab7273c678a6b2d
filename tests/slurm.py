"""A SLURM of one node, this machine: its daemons are started, and ended, by the tests.

Of Debian: ``apt-get install slurm-wlm``. Keys, state and logs lie in a folder of the test's, ports
are free ones, so a SLURM that the machine belongs to is not touched.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")

CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
ReturnToService=2
KillWait=2
MinJobAge={forgets}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=tests Nodes={host} Default=YES MaxTime=60 State=UP OverSubscribe=NO
"""


def lacking() -> str | None:
    """Say why there can be no SLURM here; None where there can."""
    absent = [name for name in (*DAEMONS, "sbatch") if _found(name) is None]
    if absent:
        return f"no {', '.join(absent)} here: install Debian's 'slurm-wlm'"
    return None if os.geteuid() == 0 else "SLURM's daemons are started here by root only"


@contextmanager
def cluster(folder: Path, forgets: int = 300) -> Iterator[Callable[..., str]]:
    """Start a SLURM and end it.

    Parameters
    ----------
    folder
        For all that it writes.
    forgets
        After how many seconds it knows no more of a job that has ended.

    Yields
    ------
    callable
        Runs a command there, such as ``("squeue", "--me")``, and returns what it prints. The
        environment names the cluster, meanwhile.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    host = socket.gethostname().partition(".")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    ports = _free_ports(2)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            host=host, folder=folder, forgets=forgets, cpus=os.cpu_count(), memory=memory * 9 // 10,
            controller_port=ports[0], node_port=ports[1],
        )
    )  # fmt: skip
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = {"key": "key", "socket": "socket", "pid": "pid", "log": "log", "seed": "seed"}
    munged = [
        "--foreground", "--force", "--num-threads=2",
        *(f"--{name}-file={folder}/munge.{end}" for name, end in files.items() if name != "socket"),
        f"--socket={folder}/munge.socket",
    ]  # fmt: skip
    os.environ["SLURM_CONF"] = str(configuration)
    try:
        with ExitStack() as daemons:
            daemons.enter_context(_daemon("munged", munged, folder))
            _wait(lambda: (folder / "munge.socket").exists(), "munged")
            daemons.enter_context(_daemon("slurmctld", ["-D", "-f", str(configuration)], folder))
            daemons.enter_context(
                _daemon("slurmd", ["-D", "-f", str(configuration), "-N", host], folder)
            )
            _wait(lambda: _told("sinfo", "--noheader", "--format=%T").strip() == "idle", "slurmd")
            try:
                yield _told
            finally:
                _told("scancel", "--me")
                _told("scancel", "--me", "--signal=KILL", "--full")
                _wait(lambda: not _told("squeue", "--noheader"), "the jobs' end")
    finally:
        del os.environ["SLURM_CONF"]


@contextmanager
def _daemon(name: str, arguments: list[str], folder: Path) -> Iterator[None]:
    with (folder / f"{name}.out").open("w") as told:
        process = subprocess.Popen([_found(name), *arguments], stdout=told, stderr=told)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def running(name: str, folder: Path) -> list[str]:
    """Return the processes of a daemon that work with a folder."""
    told = _told("ps", "-C", name, "-o", "pid=,args=")
    return [row for row in told.splitlines() if str(folder) in row]


def _told(*command: str) -> str:
    """Return what a command prints; nothing while SLURM does not answer."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as taken:
        sockets = [taken.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    started = time.monotonic()
    while not ready():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"SLURM: waited for {what} in vain.")
        time.sleep(0.2)
