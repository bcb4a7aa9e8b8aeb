"""A real one-node SLURM cluster with fake GPUs, from Debian's packages, without systemd.

munged, slurmctld and slurmd are started by hand with all their files in one folder, on free ports
and a socket of their own, and are stopped by their pid files. A GPU is a character device that
nothing reads: SLURM schedules it like a real one. CPUs are declared, whatever the machine has.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "squeue")
NULL = os.makedev(1, 3)  # what /dev/null is
SLURM_CONF = """
ClusterName=holdfast
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge}/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
Prolog={folder}/prolog.sh
Epilog={folder}/epilog.sh
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,defer
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
MinJobAge=3600
SlurmctldTimeout=30
SlurmdTimeout=60
KillWait=5
SlurmdParameters=config_overrides
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:h100:{gpus}
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
GRES_CONF = """
AutoDetect=off
NodeName={host} Name=gpu Type=h100 File={gpu_files}
"""
# What SLURM itself tells of a job when it starts and when nothing of it is left.
RECORD = """#!/bin/sh
echo "{event} $(date +%s.%N) $SLURM_JOB_ID ${{SLURM_JOB_GPUS:--}}" >> {folder}/records
"""


@dataclass(frozen=True)
class Job:
    """One job as SLURM saw it: ``start`` and ``end`` in seconds, ``gpus`` are indices of cards."""

    number: int
    start: float
    end: float
    gpus: frozenset[int]


@dataclass(frozen=True)
class Cluster:
    """A running cluster; give its ``environment`` to whatever calls SLURM's commands."""

    folder: Path
    gpus: int

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this process, with this cluster, without any SLURM job."""
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_"))}
        path = f"{self.folder}:{plain['PATH']}"  # for srun, see _configure
        return plain | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def run(self, *command: str) -> str:
        """Run a command on the cluster; return what it printed."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def queue(self, states: str = "all") -> list[dict[str, str]]:
        """Return the jobs in some states: number, name, state, comment, workdir and reason."""
        fields = ("number", "name", "state", "comment", "workdir", "reason")
        lines = self.run("squeue", "-h", "-t", states, "-o", "%i|%j|%T|%k|%Z|%r").splitlines()
        return [dict(zip(fields, line.split("|"), strict=True)) for line in lines]

    def details(self, number: str) -> dict[str, str]:
        """Return what ``scontrol show job`` says of a job."""
        text = self.run("scontrol", "show", "job", "-o", number)
        return dict(re.findall(r"(\S+?)=(\S*)", text))

    def jobs(self) -> list[Job]:
        """Return every job that started, from the records of prolog and epilog."""
        path = self.folder / "records"
        started: dict[str, tuple[float, frozenset[int]]] = {}
        jobs = []
        for line in path.read_text().splitlines() if path.exists() else []:
            event, moment, number, cards = line.split()
            if event == "start":
                gpus = frozenset(int(card) for card in re.findall(r"\d+", cards))
                started[number] = (float(moment), gpus)
            elif number in started:
                start, gpus = started.pop(number)
                jobs.append(Job(int(number), start, float(moment), gpus))
        running = [Job(int(n), start, float("inf"), g) for n, (start, g) in started.items()]
        return jobs + running


def missing() -> str:
    """Return why no cluster can be started here; empty where one can."""
    if os.geteuid() != 0:
        return "starting SLURM's daemons takes root"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {absent[0]} (Debian: apt-get install slurm-wlm munge)"
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.mknod(Path(folder) / "gpu", stat.S_IFCHR | 0o666, NULL)
        except PermissionError:
            return "fake GPUs are device files, which cannot be made here"
    return ""


@contextmanager
def cluster(folder: Path, cpus: int = 16, gpus: int = 4) -> Iterator[Cluster]:
    """Run a cluster in ``folder`` (made anew) until the block is left, however it is left."""
    folder = folder.resolve()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    munge = Path(tempfile.mkdtemp(prefix="munge-"))  # a socket's path must be short
    try:
        _configure(folder, munge, cpus, gpus)
        started = Cluster(folder, gpus)
        _munged(munge)
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon], env=started.environment, check=True)
        _wait_until_idle(started)
        yield started
    finally:
        _cancel_everything(folder)
        for pid_file in (folder / "slurmd.pid", folder / "slurmctld.pid", munge / "pid"):
            _stop(pid_file)
        shutil.rmtree(munge)


def _configure(folder: Path, munge: Path, cpus: int, gpus: int) -> None:
    """Write the configuration, the scripts that keep records, and the fake GPUs."""
    host = socket.gethostname().split(".")[0]
    ports = _free_ports(2)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for number in range(gpus):
        os.mknod(folder / f"gpu{number}", stat.S_IFCHR | 0o666, NULL)
    values = {
        "host": host,
        "folder": folder,
        "munge": munge,
        "cpus": cpus,
        "gpus": gpus,
        "memory": pages // 2**20,
        "controller_port": ports[0],
        "node_port": ports[1],
        "gpu_files": f"{folder}/gpu[0-{gpus - 1}]",
    }
    (folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
    (folder / "gres.conf").write_text(GRES_CONF.format(**values))
    # Snakemake's plugin calls srun without SLURM_CONF, since clusters have it in /etc.
    srun = f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
    scripts = {
        "prolog.sh": RECORD.format(event="start", folder=folder),
        "epilog.sh": RECORD.format(event="end", folder=folder),
        "srun": srun,
    }
    for name, content in scripts.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _munged(folder: Path) -> None:
    """Start munged as its own user, as it insists on."""
    folder.chmod(0o755)  # all users' commands reach its socket
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log"}
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    options.append(f"--seed-file={folder / 'seed'}")
    user = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups"]
    shutil.chown(folder, "munge", "munge")
    subprocess.run([*user, "mungekey", f"--keyfile={folder / 'key'}"], check=True)
    subprocess.run([*user, "munged", *options], check=True)


def _wait_until_idle(started: Cluster, seconds: float = 30) -> None:
    """Wait until the node takes jobs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = subprocess.run(
            ["sinfo", "-h", "-o", "%T"],
            env=started.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.stdout.strip() == "idle":
            return
        time.sleep(0.2)
    logs = [path.read_text()[-2000:] for path in sorted(started.folder.glob("slurm*.log"))]
    raise AssertionError("\n".join(["the cluster did not start", *logs]))


def _cancel_everything(folder: Path, seconds: float = 20) -> None:
    """Cancel all jobs and wait for their end, so that none outlives the cluster."""
    if not (folder / "slurmctld.pid").exists():
        return
    environment = Cluster(folder, 0).environment
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        listed = subprocess.run(
            ["squeue", "-h", "-o", "%i"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        numbers = listed.stdout.split()
        if not numbers:
            return
        subprocess.run(["scancel", *numbers], env=environment, check=False, timeout=30)
        time.sleep(0.5)


def _stop(pid_file: Path, seconds: float = 20) -> None:
    """Stop the daemon whose pid a file holds, in the end by force."""
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return
    end = time.monotonic() + seconds
    try:
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < end:
            os.kill(pid, 0)
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
