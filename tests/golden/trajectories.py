"""Ten steps of training, and second derivatives, for make.py.

train_cnn, train_lstm, computed in f64:

    x, y                 all batches: (10, batch, ...) f64 or i64 tokens, labels (10, batch) i64
    init.NAME            the parameters and buffers, under PyTorch's names
    sgd.loss             the loss of every step;  sgd.loss32 of the same run in f32
    sgd.final.NAME       the parameters and buffers after the last
    sgd.fopts, sgd.opts  lr momentum dampening weight_decay; nesterov
    adamw.loss ...       likewise;  adamw.fopts: lr beta1 beta2 eps weight_decay

    cnn    conv1 (1-4, 3x3, padding 1), bn, relu, max-pool 2, conv2 (4-6, 3x3, padding 1),
           relu, flatten, fc;  mean cross-entropy
    lstm   embed (11, 5), lstm (5-6, 2 layers, batch first, zero state), fc of the last step

second:

    wgan_gp.in.0 1 2     real (8, 6), fake (8, 6), alpha (8, 1)
    wgan_gp.param.I      w1 (8, 6) b1 w2 (8, 8) b2 w3 (1, 8) b3:  tanh, tanh, none
    wgan_gp.out.0        mean d(fake) - mean d(real) + 10 mean (|grad d(mid)| - 1)^2,
                         mid = alpha real + (1 - alpha) fake;   wgan_gp.grad.I
    hvp.in.0 1           x (5, 4), target (5, 1)
    hvp.param.I          w1 (6, 4) b1 w2 (1, 6) b2:  tanh, none;   hvp.v.I, the vector
    hvp.out.0            mean (f(x) - target)^2;   hvp.grad.I;   hvp.hv.I, its Hessian times v
"""

import copy

import torch
import torch.nn as nn
import torch.nn.functional as F

STEPS = 10


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.fc = nn.Linear(6 * 4 * 4, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn(self.conv1(x))), 2)
        return self.fc(F.relu(self.conv2(x)).flatten(1))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 5)
        self.lstm = nn.LSTM(5, 6, 2, batch_first=True)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(self.lstm(self.embed(x))[0][:, -1])


def draw(model, values):
    """Parameters from our own generator: PyTorch's inits may change between versions."""
    with torch.no_grad():
        for p in model.parameters():
            fan = p[0].numel() if p.dim() > 1 else p.numel()
            p.copy_(values.normal(*p.shape, scale=fan**-0.5))
    return model.double()


def state(model):
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def train(model, optimizer, x, y):
    losses = []
    for xs, ys in zip(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(xs), ys)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def sgd(parameters):
    return torch.optim.SGD(
        parameters, lr=0.05, momentum=0.9, weight_decay=5e-3, nesterov=True, foreach=False
    )


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=1e-2, foreach=False)


OPTIMIZERS = {
    "sgd": (sgd, [0.05, 0.9, 0.0, 5e-3], [1]),
    "adamw": (adamw, [1e-2, 0.9, 0.999, 1e-8, 1e-2], None),
}


def trajectory(model, x, y):
    tensors = {"x": x, "y": y}
    tensors.update({f"init.{k}": v.clone() for k, v in state(model).items()})
    for name, (make, fopts, opts) in OPTIMIZERS.items():
        trained, single = copy.deepcopy(model), copy.deepcopy(model).float()
        tensors[f"{name}.loss"] = train(trained, make(trained.parameters()), x, y)
        x32 = x.float() if x.is_floating_point() else x
        tensors[f"{name}.loss32"] = train(single, make(single.parameters()), x32, y)
        tensors.update({f"{name}.final.{k}": v for k, v in state(trained).items()})
        tensors[f"{name}.fopts"] = torch.tensor(fopts, dtype=torch.float64)
        if opts:
            tensors[f"{name}.opts"] = torch.tensor(opts)
    return tensors


def layers(values, widths):
    """Weights and biases of a perceptron, as leaves."""
    made = []
    for rows, cols in zip(widths[1:], widths):
        made += [values.normal(rows, cols, scale=cols**-0.5), values.normal(rows, scale=0.3)]
    return [p.requires_grad_() for p in made]


def perceptron(x, params):
    for w, b in zip(params[0:-2:2], params[1:-2:2]):
        x = torch.tanh(F.linear(x, w, b))
    return F.linear(x, params[-2], params[-1])


def numbered(prefix, tensors):
    return {f"{prefix}.{i}": t for i, t in enumerate(tensors)}


def wgan_gp(values):
    params = layers(values, [6, 8, 8, 1])
    real, fake = values.normal(8, 6), values.normal(8, 6, scale=0.5)
    alpha = values.normal(8, 1).sigmoid().float().double()
    mid = (alpha * real + (1 - alpha) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(perceptron(mid, params).sum(), mid, create_graph=True)
    penalty = ((slope.square().sum(1).sqrt() - 1) ** 2).mean()
    loss = perceptron(fake, params).mean() - perceptron(real, params).mean() + 10 * penalty
    # the last bias cancels out of everything: its gradient is zero
    grads = torch.autograd.grad(loss, params)
    return {
        **numbered("wgan_gp.in", [real, fake, alpha]),
        **numbered("wgan_gp.param", params),
        **numbered("wgan_gp.out", [loss]),
        **numbered("wgan_gp.grad", grads),
    }


def hvp(values):
    params = layers(values, [4, 6, 1])
    x, target = values.normal(5, 4), values.normal(5, 1)
    v = [values.normal(*p.shape) for p in params]
    loss = (perceptron(x, params) - target).square().mean()
    grads = torch.autograd.grad(loss, params, create_graph=True)
    products = torch.autograd.grad(sum((g * u).sum() for g, u in zip(grads, v)), params)
    return {
        **numbered("hvp.in", [x, target]),
        **numbered("hvp.param", params),
        **numbered("hvp.v", v),
        **numbered("hvp.out", [loss]),
        **numbered("hvp.grad", grads),
        **numbered("hvp.hv", products),
    }


def files():
    from golden import Values, stored

    v = Values("train_cnn")
    images, classes = v.normal(STEPS, 4, 1, 8, 8), v.integers(3, STEPS, 4)
    cnn = trajectory(draw(Cnn(), v), images, classes)
    v = Values("train_lstm")
    tokens, classes = v.integers(11, STEPS, 4, 7), v.integers(3, STEPS, 4)
    lstm = trajectory(draw(Lstm(), v), tokens, classes)
    second = {**wgan_gp(Values("wgan_gp")), **hvp(Values("hvp"))}
    made = {"train_cnn": cnn, "train_lstm": lstm, "second": second}
    return {stem: {k: stored(t) for k, t in tensors.items()} for stem, tensors in made.items()}
