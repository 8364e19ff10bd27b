"""Optimizers given the same gradients, step by step, in f64.

    NAME.CASE.p.I        parameters as they begin: (3, 4) (5) (2, 6) for all but Muon (matrices)
    NAME.CASE.grad.I     gradients, one for each step: (STEPS, ...)
    NAME.CASE.after.I    the parameters after each step
    NAME.CASE.fopts      the options in the order of RULES below, booleans as 0 and 1

The last parameter is in a second group, with half the learning rate and a weight decay that is
larger by 0.01.

schedules: NAME.lr (steps + 1, groups), NAME.momentum (steps + 1) where it is cycled;
plateau.I.values, .lr;  average.p (STEPS, 5), .ema, .swa: AveragedModel's weights after each update;
scaler.RULE.grad (STEPS, 5), infinite at times, .after, .scale after each of its updates.
The groups begin at 0.8 and 0.2; SCHEDULES has the numbers.

Lion isn't in PyTorch: lion() below is the algorithm of its paper.  Muon's
iteration runs in f64 here, PyTorch's own in bf16.
"""

import torch
from golden import Values, stored

STEPS = 12


def lion(params, lr, betas, weight_decay, maximize):
    """Chen et al. 2023, algorithm 2."""

    class Lion(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, dict(lr=lr, weight_decay=weight_decay))

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for p in group["params"]:
                    g = -p.grad if maximize else p.grad
                    m = self.state[p].setdefault("m", torch.zeros_like(p))
                    c = betas[0] * m + (1 - betas[0]) * g
                    p -= group["lr"] * (torch.sign(c) + group["weight_decay"] * p)
                    m.copy_(betas[1] * m + (1 - betas[1]) * g)

    return Lion(params)


def muon(params, **options):
    """torch.optim.Muon with its iteration in the gradient's dtype."""

    from torch.optim import _muon

    source = _muon._zeropower_via_newtonschulz

    def zeropower(grad, coefficients, steps, eps):
        a, b, c = coefficients
        x = grad.clone()
        if grad.size(0) > grad.size(1):
            x = x.T
        x = x / x.norm().clamp(min=eps)
        for _ in range(steps):
            s = x @ x.T
            x = a * x + (b * s + c * s @ s) @ x
        close = source(grad, coefficients, steps, eps).double()
        ours = x.T if grad.size(0) > grad.size(1) else x
        assert (close - ours).abs().max() < 0.1  # the same, but for bf16
        return ours

    optimizer = torch.optim.Muon(params, **options)
    step = optimizer.step

    def precise():
        _muon._zeropower_via_newtonschulz = zeropower
        step()
        _muon._zeropower_via_newtonschulz = source

    optimizer.step = precise
    return optimizer


def betas(o):
    o["betas"] = (o.pop("beta1"), o.pop("beta2"))
    return o


def plain(cls):
    return lambda params, **o: cls(params, **(betas(o) if "beta1" in o else o), foreach=False)


ADAM = ["lr", "beta1", "beta2", "eps", "weight_decay", "amsgrad", "maximize"]
RULES = {
    "sgd": (
        plain(torch.optim.SGD),
        ["lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"],
        [[0.1, 0, 0, 0, 0, 1], [0.1, 0.9, 0.1, 0.05, 0, 1], [0.1, 0.9, 0, 0.05, 1, 0]],
    ),
    "adam": (
        plain(torch.optim.Adam),
        ADAM,
        [[0.1, 0.9, 0.999, 1e-8, 0, 1, 0], [0.05, 0.8, 0.95, 1e-3, 0.1, 1, 1]],
    ),
    "adamw": (
        plain(torch.optim.AdamW),
        ADAM,
        [[0.1, 0.9, 0.999, 1e-8, 0.01, 1, 0], [0.05, 0.8, 0.95, 1e-3, 0.1, 0, 1]],
    ),
    "rmsprop": (
        plain(torch.optim.RMSprop),
        ["lr", "alpha", "eps", "weight_decay", "momentum", "centered", "maximize"],
        [
            [0.01, 0.99, 1e-8, 0, 0, 0, 0],
            [0.05, 0.9, 1e-6, 0.1, 0, 1, 0],
            [0.05, 0.9, 1e-6, 0.1, 0.9, 0, 1],
            [0.02, 0.95, 1e-4, 0.01, 0.8, 1, 0],
        ],
    ),
    "adagrad": (
        plain(torch.optim.Adagrad),
        ["lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps", "maximize"],
        [[0.01, 0, 0, 0, 1e-10, 0], [0.1, 0.05, 0.1, 0.5, 1e-6, 1]],
    ),
    "adadelta": (
        plain(torch.optim.Adadelta),
        ["lr", "rho", "eps", "weight_decay", "maximize"],
        [[1, 0.9, 1e-6, 0, 0], [0.5, 0.8, 1e-3, 0.1, 1]],
    ),
    "adamax": (
        plain(torch.optim.Adamax),
        ["lr", "beta1", "beta2", "eps", "weight_decay", "maximize"],
        [[2e-3, 0.9, 0.999, 1e-8, 0, 0], [0.05, 0.8, 0.9, 1e-3, 0.1, 1]],
    ),
    "nadam": (
        plain(torch.optim.NAdam),
        ["lr", "beta1", "beta2", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay", "maximize"],
        [
            [2e-3, 0.9, 0.999, 1e-8, 0, 4e-3, 0, 0],
            [0.05, 0.8, 0.9, 1e-3, 0.1, 0.3, 0, 1],
            [0.05, 0.8, 0.9, 1e-3, 0.1, 0.3, 1, 0],
        ],
    ),
    "radam": (
        plain(torch.optim.RAdam),
        ["lr", "beta1", "beta2", "eps", "weight_decay", "decoupled_weight_decay", "maximize"],
        [[1e-3, 0.9, 0.999, 1e-8, 0, 0, 0], [0.05, 0.8, 0.9, 1e-3, 0.1, 0, 1], [0.05, 0.8, 0.9, 1e-3, 0.1, 1, 0]],
    ),
    "lion": (
        lambda params, **o: lion(params, **betas(o)),
        ["lr", "beta1", "beta2", "weight_decay", "maximize"],
        [[0.01, 0.9, 0.99, 0, 0], [0.05, 0.8, 0.9, 0.1, 1]],
    ),
    "muon": (
        lambda params, a, b, c, nesterov, match, **o: muon(
            params,
            ns_coefficients=(a, b, c),
            nesterov=bool(nesterov),
            adjust_lr_fn="match_rms_adamw" if match else None,
            **{k: int(v) if k == "ns_steps" else v for k, v in o.items()},
        ),
        ["lr", "weight_decay", "momentum", "a", "b", "c", "eps", "ns_steps", "nesterov", "match"],
        [
            [1e-3, 0.1, 0.95, 3.4445, -4.7750, 2.0315, 1e-7, 5, 1, 0],
            [0.05, 0, 0.8, 2, -1.5, 0.5, 1e-7, 3, 0, 1],
        ],
    ),
}
FLAGS = {"nesterov", "maximize", "amsgrad", "centered", "decoupled_weight_decay"}


def case(name, number, make, keys, numbers):
    values = Values(f"{name}.{number}")
    shapes = [(3, 4), (5, 2), (2, 6)] if name == "muon" else [(3, 4), (5,), (2, 6)]
    params = [values.normal(*s).requires_grad_() for s in shapes]
    grads = [values.normal(STEPS, *s) for s in shapes]
    options = {k: bool(v) if k in FLAGS else v for k, v in zip(keys, numbers)}
    second = {"lr": options["lr"] / 2, "weight_decay": options["weight_decay"] + 0.01}
    tensors = {f"{name}.{number}.p.{i}": stored(p) for i, p in enumerate(params)}
    optimizer = make([{"params": params[:2]}, {"params": params[2:], **second}], **options)
    after = [[] for _ in params]
    for step in range(STEPS):
        for p, g in zip(params, grads):
            p.grad = g[step].clone()
        optimizer.step()
        for trace, p in zip(after, params):
            trace.append(stored(p))
    for i in range(len(params)):
        tensors[f"{name}.{number}.grad.{i}"] = grads[i]
        tensors[f"{name}.{number}.after.{i}"] = torch.stack(after[i])
    tensors[f"{name}.{number}.fopts"] = torch.tensor(numbers, dtype=torch.float64)
    return tensors


# ---- schedules ----

L = torch.optim.lr_scheduler
SCHEDULES = {
    "step": lambda o: L.StepLR(o, 3, 0.5),
    "multi_step": lambda o: L.MultiStepLR(o, [2, 7, 8], 0.3),
    "constant": lambda o: L.ConstantLR(o, 0.25, 4),
    "linear": lambda o: L.LinearLR(o, 1 / 3, 1.0, 5),
    "linear_down": lambda o: L.LinearLR(o, 0.9, 0.1, 7),
    "exponential": lambda o: L.ExponentialLR(o, 0.9),
    "multiplicative": lambda o: L.MultiplicativeLR(o, lambda step: 1 - 0.5 / (step + 1)),
    "swa": lambda o: torch.optim.swa_utils.SWALR(o, 0.05, 7),
    "swa_linear": lambda o: torch.optim.swa_utils.SWALR(o, 0.05, 4, "linear"),
    "polynomial": lambda o: L.PolynomialLR(o, 9, 2.0),
    "cosine_annealing": lambda o: L.CosineAnnealingLR(o, 8, 0.01),
    "cosine_restarts": lambda o: L.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "cosine_restarts_even": lambda o: L.CosineAnnealingWarmRestarts(o, 5),
    "one_cycle": lambda o: L.OneCycleLR(o, 1.0, 25),
    "one_cycle_linear": lambda o: L.OneCycleLR(
        o, 0.5, 25, pct_start=0.25, anneal_strategy="linear", three_phase=True,
        base_momentum=0.5, max_momentum=0.75, div_factor=10, final_div_factor=100,
    ),
    "cyclic": lambda o: L.CyclicLR(o, 0.1, 0.5, 4),
    "cyclic_uneven": lambda o: L.CyclicLR(o, 0.1, 0.5, 3, 5, mode="triangular2", cycle_momentum=False),
    "cyclic_exp": lambda o: L.CyclicLR(o, 0.1, 0.5, 3, 5, mode="exp_range", gamma=0.9),
    "sequence": lambda o: L.SequentialLR(
        o, [L.LinearLR(o, 0.1, 1.0, 5), L.CosineAnnealingLR(o, 10, 0.01), L.ExponentialLR(o, 0.8)], [5, 15]
    ),
}  # fmt: skip
CYCLED = {"one_cycle", "one_cycle_linear", "cyclic", "cyclic_exp"}
PLATEAUS = [
    dict(factor=0.5, patience=2),
    dict(mode="max", factor=0.1, patience=1, threshold=0.5, threshold_mode="abs", cooldown=2, min_lr=0.01),
    dict(factor=0.2, patience=0, threshold=0.1, min_lr=0.05, eps=0.01),
]


def groups_at(lrs):
    params = [torch.zeros(1, requires_grad=True) for _ in lrs]
    return torch.optim.SGD([{"params": [p], "lr": lr} for p, lr in zip(params, lrs)], momentum=0.9)


def rates(make):
    o = groups_at([0.8, 0.2])
    schedule, lr, momentum = make(o), [], []
    for step in range(25):
        lr.append([g["lr"] for g in o.param_groups])
        momentum.append(o.param_groups[0]["momentum"])
        o.step()
        if step < 24:
            schedule.step()
    return torch.tensor(lr, dtype=torch.float64), torch.tensor(momentum, dtype=torch.float64)


def averages():
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    p = Values("average").normal(STEPS, 5)
    made = {"average.p": p}
    for name, how in (("ema", get_ema_multi_avg_fn(0.9)), ("swa", None)):
        module = torch.nn.ParameterDict({"p": torch.nn.Parameter(torch.zeros(5).double())})
        averaged, trace = AveragedModel(module, multi_avg_fn=how), []
        for row in p:
            with torch.no_grad():
                module["p"].copy_(row)
            averaged.update_parameters(module)
            trace.append(stored(averaged.module["p"]))
        made[f"average.{name}"] = torch.stack(trace)
    return made


def scaler(name, make):
    grad = Values(f"scaler.{name}").normal(STEPS, 5)
    grad[3, 2], grad[4, 0], grad[8, 4] = float("inf"), float("nan"), float("-inf")
    p = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
    optimizer, after, scales = make([p]), [], []
    scale = torch.amp.GradScaler("cpu", init_scale=8, growth_factor=4, backoff_factor=0.25, growth_interval=2)
    for g in grad:
        optimizer.zero_grad()
        scale.scale((p * g).sum()).backward()
        scale.step(optimizer)
        scale.update()
        after.append(stored(p))
        scales.append(scale.get_scale())
    return {
        f"scaler.{name}.grad": grad,
        f"scaler.{name}.after": torch.stack(after),
        f"scaler.{name}.scale": torch.tensor(scales, dtype=torch.float64),
    }


def schedules():
    tensors = averages()
    sgd = lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, foreach=False)
    tensors.update(scaler("sgd", sgd))
    tensors.update(scaler("adamw", lambda p: torch.optim.AdamW(p, lr=0.1, foreach=False)))
    for name, make in SCHEDULES.items():
        lr, momentum = rates(make)
        tensors[f"{name}.lr"] = lr
        if name in CYCLED:
            tensors[f"{name}.momentum"] = momentum
    for i, options in enumerate(PLATEAUS):
        o = groups_at([0.8, 0.2])
        schedule, lr = L.ReduceLROnPlateau(o, **options), []
        values = Values(f"plateau.{i}").normal(30).abs() + torch.arange(30, 0, -1) / 20
        for v in values:
            schedule.step(v.item())
            lr.append([g["lr"] for g in o.param_groups])
        tensors[f"plateau.{i}.values"] = values
        tensors[f"plateau.{i}.lr"] = torch.tensor(lr, dtype=torch.float64)
    return tensors


# ---- L-BFGS: a loss that is evaluated again and again ----
#
# NAME.CASE.fopts   lr max_iter max_eval tolerance_grad tolerance_change history_size line_search,
#                   maximize; line_search 1: strong Wolfe
# NAME.CASE.loss    the first loss of each step; .after.I the parameters after it
# rosenbrock: .p.0 (4);  mlp: .x (20, 3), .y (20, 2), .p.I weights and biases of 3 - 5 - 2, tanh

LBFGS_STEPS = 6
LBFGS = {
    "rosenbrock": [
        [1, 4, 0, 1e-7, 1e-9, 100, 1, 0],
        [0.5, 3, 20, 1e-7, 1e-9, 2, 1, 0],
        [1, 5, 6, 1e-7, 1e-9, 3, 1, 0],
        [1, 20, 0, 1e-5, 1e-9, 10, 1, 1],
        [1e-3, 5, 0, 1e-7, 1e-9, 3, 0, 0],
    ],
    "mlp": [
        [1, 5, 0, 1e-7, 1e-9, 100, 1, 0],
        [0.5, 6, 0, 1e-7, 1e-9, 4, 0, 0],
        [0.2, 3, 2, 1e-7, 1e-9, 100, 0, 1],
        [1, 20, 0, 1e-1, 1e-9, 100, 1, 0],
        [1, 20, 0, 1e-7, 1e-1, 100, 1, 0],
    ],
}


def rosenbrock(values):
    p = torch.tensor([-1.2, 1.0, 0.8, -0.5], dtype=torch.float64).requires_grad_()
    return [p], lambda: (100 * (p[1:] - p[:-1] ** 2) ** 2 + (1 - p[:-1]) ** 2).sum(), {}


def small_mlp(values):
    x, y = values.normal(20, 3), values.normal(20, 2)
    p = [values.normal(*s, scale=0.5).requires_grad_() for s in ((5, 3), (5,), (2, 5), (2,))]
    model = lambda: torch.tanh(x @ p[0].T + p[1]) @ p[2].T + p[3]
    return p, lambda: ((model() - y) ** 2).mean(), {"x": x, "y": y}


def lbfgs():
    tensors = {}
    for name, make in (("rosenbrock", rosenbrock), ("mlp", small_mlp)):
        for number, numbers in enumerate(LBFGS[name]):
            params, value, given = make(Values(f"lbfgs.{name}"))
            lr, iterations, evaluations, grad, change, history, wolfe, maximize = numbers
            optimizer = torch.optim.LBFGS(
                params, lr=lr, max_iter=iterations, max_eval=evaluations or None, tolerance_grad=grad,
                tolerance_change=change, history_size=history,
                line_search_fn="strong_wolfe" if wolfe else None, maximize=bool(maximize),
            )  # fmt: skip

            def closure():
                optimizer.zero_grad()
                loss = -value() if maximize else value()
                loss.backward()
                return loss

            case = f"{name}.{number}"
            tensors.update({f"{case}.{k}": v for k, v in given.items()})
            tensors.update({f"{case}.p.{i}": stored(p) for i, p in enumerate(params)})
            losses, after = [], [[] for _ in params]
            for _ in range(LBFGS_STEPS):
                losses.append(stored(optimizer.step(closure)))
                for trace, p in zip(after, params):
                    trace.append(stored(p))
            tensors[f"{case}.loss"] = torch.stack(losses)
            tensors.update({f"{case}.after.{i}": torch.stack(a) for i, a in enumerate(after)})
            tensors[f"{case}.fopts"] = torch.tensor(numbers, dtype=torch.float64)
    return tensors


# ---- clipping: clip.CASE.fopts  max norm_type;  .grad.I before, .after.I, .norm ----

CLIPS = [(1, 2), (1, 1), (0.5, float("inf")), (2, 3), (1, 0.5), (1e3, 1), (0, 1)]


def clip():
    tensors = {}
    for number, (most, p) in enumerate(CLIPS):
        values = Values(f"clip.{number}")
        params = [torch.zeros(*s, dtype=torch.float64).requires_grad_() for s in ((3, 4), (5,), (2, 6))]
        for i, x in enumerate(params):
            x.grad = values.normal(*x.shape)
            tensors[f"clip.{number}.grad.{i}"] = stored(x.grad)
        norm = torch.nn.utils.clip_grad_norm_(params, most, norm_type=p)
        tensors[f"clip.{number}.norm"] = stored(norm)
        tensors.update({f"clip.{number}.after.{i}": stored(x.grad) for i, x in enumerate(params)})
        tensors[f"clip.{number}.fopts"] = torch.tensor([most, p], dtype=torch.float64)
    return tensors


# ---- update_bn: x (14, 3) in batches of 4 through norm(linear(norm(x))), one norm twice ----
#
# weight, bias of the linear layer; mean, var, tracked as they begin, and .after


def swa():
    values = Values("swa")
    x, norm, linear = values.normal(14, 3, scale=2), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 3)
    model = torch.nn.Sequential(norm, linear, norm).double()
    with torch.no_grad():
        linear.weight.copy_(values.normal(3, 3))
        linear.bias.copy_(values.normal(3))
    model(x)
    state = lambda: {"mean": norm.running_mean, "var": norm.running_var, "tracked": norm.num_batches_tracked}
    tensors = {k: stored(v) for k, v in state().items()}
    tensors.update({"x": x, "weight": stored(linear.weight), "bias": stored(linear.bias)})
    torch.optim.swa_utils.update_bn(x.split(4), model)
    return {**tensors, **{f"{k}.after": stored(v) for k, v in state().items()}}


def families():
    tensors = {}
    for name, (make, keys, cases) in RULES.items():
        for number, numbers in enumerate(cases):
            tensors.update(case(name, number, make, keys, numbers))
    return {"optim": tensors, "schedules": schedules(), "lbfgs": lbfgs(), "clip": clip(), "swa": swa()}
