"""A second process that lends gradients to the trainer and may be stopped at any time.

The trainer waits only briefly: a gradient that comes in time is averaged with its own.
"""
import ctypes
import os
import signal
import time

import torch
import torch.multiprocessing as mp


def single_thread():
    """One thread per process: two spinning thread pools on the same cores slow each other down."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


class Exchange:
    """Shared parameters of one generation, and the helper's gradient with the generation it belongs to.

    A gradient of an older generation is dropped: delayed gradients made training diverge.
    """

    def __init__(self, params):
        self.params = [p.detach().clone().share_memory_() for p in params]
        self.grads = [torch.zeros_like(p).share_memory_() for p in self.params]
        self.wanted = torch.zeros(1, dtype=torch.int64).share_memory_()
        self.ready = torch.full((1,), -1, dtype=torch.int64).share_memory_()
        self.progress = torch.zeros(1, dtype=torch.float64).share_memory_()
        self.missed = 0

    @torch.no_grad()
    def publish(self, params, progress):
        torch._foreach_copy_(self.params, [p.detach() for p in params])
        self.progress.fill_(progress)
        self.wanted += 1

    @torch.no_grad()
    def merge(self, params, patience):
        """Waits up to `patience` seconds and averages the helper's gradient in; returns whether it came.

        A helper that missed many steps in a row (it may be stopped) is not waited for until it is back.
        """
        deadline = time.time() + (patience if self.missed < 10 else 0)
        while int(self.ready) < int(self.wanted):
            if time.time() >= deadline:
                self.missed += 1
                return False
            time.sleep(0.001)
        self.missed = 0
        grads = [p.grad for p in params]
        torch._foreach_add_(grads, self.grads)
        torch._foreach_mul_(grads, 0.5)
        return True


def _work(exchange, build, seed):
    single_thread()
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)   # ends with the trainer
    torch.manual_seed(seed)
    params, compute = build(seed)
    done = -1
    while True:
        while int(exchange.wanted) == done:
            time.sleep(0.001)
        generation = int(exchange.wanted)
        with torch.no_grad():
            torch._foreach_copy_([p.detach() for p in params], exchange.params)
        for p in params:
            p.grad = None
        compute(float(exchange.progress))
        done = generation
        if int(exchange.wanted) == generation:
            for g, p in zip(exchange.grads, params):
                g.copy_(p.grad) if p.grad is not None else g.zero_()
            exchange.ready.fill_(generation)


def start_helper(params, build, seed):
    """`build(seed)` runs in the new process and returns (parameters, compute(progress))."""
    exchange = Exchange(params)
    process = mp.get_context("spawn").Process(target=_work, args=(exchange, build, seed), daemon=True)
    process.start()
    print(f"helper process {process.pid} of {os.getpid()}", flush=True)
    return exchange


class Clock:
    """Progress 0..1 of a schedule of `minutes` of processor time, of which the share `start` was done by processes before this one.

    Wall time would end the schedule early where the process is paused or shares its core.
    """

    def __init__(self, minutes, start=0.0):
        self.began, self.seconds, self.start = time.process_time(), minutes * 60, start

    def __call__(self):
        return min(1.0, self.start + (time.process_time() - self.began) / self.seconds)


class Resume:
    """What a trainer goes on from after it was stopped: its modules and optimisers by their names, numbers, random states.

    DIR/<name>.resume.pt is written every minute and removed at the end.
    """

    def __init__(self, path, rng, **parts):
        self.path, self.rng, self.parts, self.last, self.numbers = path.with_suffix(".resume.pt"), rng, parts, time.time(), {}
        if self.path.exists():
            state = torch.load(self.path, weights_only=False)
            for name, part in parts.items():
                part.load_state_dict(state["parts"][name])
            self.numbers = state["numbers"]
            torch.set_rng_state(state["torch"])
            rng.setstate(state["rng"])

    def keep(self, **numbers):
        """Called every step; `numbers` are found in `self.numbers` after a restart."""
        if time.time() - self.last > 60:
            self.last = time.time()
            save(self.path, dict(parts={n: p.state_dict() for n, p in self.parts.items()}, numbers=numbers, torch=torch.get_rng_state(), rng=self.rng.getstate()))

    def done(self):
        self.path.unlink(missing_ok=True)


def save(path, state):
    torch.save(state, str(path) + ".tmp")
    os.replace(str(path) + ".tmp", path)
