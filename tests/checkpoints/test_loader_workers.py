"""A signal to all processes of a job does not end the workers of a data loader; one of the process that trains does."""

import os
import signal
import time

import pytest
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader

from rlhf_losses.checkpoints.loader_workers import leave_signals_to_main_process


class SignalsItself:
    """Rows that are read by a process which receives signals, as all processes of a job do."""

    def __init__(self, *numbers):
        self.numbers = numbers

    def __len__(self):
        return 2

    def __getitem__(self, index):
        for number in self.numbers:
            os.kill(os.getpid(), number)
        return index


@pytest.mark.upstream
@pytest.mark.parametrize("prepare", [lambda loader: loader, prepare_data_loader], ids=["torch", "accelerate"])
def test_workers_outlive_signals_and_start_as_before(prepare):
    started = []
    loader = DataLoader(SignalsItself(signal.SIGTERM, signal.SIGINT), num_workers=2, worker_init_fn=started.append)
    prepared = leave_signals_to_main_process(leave_signals_to_main_process(prepare(loader)))
    assert [batch.item() for batch in prepared] == [0, 1]
    worker = os.fork()
    if worker == 0:
        prepared.worker_init_fn(7)
        os._exit(started[0])
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 7


def test_a_worker_ends_when_the_process_that_trains_ends_it():
    started, start = os.pipe()
    worker = os.fork()
    if worker == 0:
        leave_signals_to_main_process(DataLoader(SignalsItself(), num_workers=1)).worker_init_fn(0)
        os.write(start, b"1")
        time.sleep(20)
        os._exit(1)
    os.read(started, 1)
    os.kill(worker, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == 0
