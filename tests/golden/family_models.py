"""The reference models, trained for ten steps in f64: model_NAME of CASE.ROLE.NAME.

    CASE.init.NAME       the parameters, f32, under PyTorch's names
    CASE.in.I            inputs of several steps, by turns: (2, ...), f32 or i64
    CASE.loss            (10, parts): the losses of each step, f64
    CASE.grad.NAME       the gradients of the first step before any update, f32; of those with more
                         than 512 numbers every third
    CASE.fopts           lr, momentum or beta1, beta2, weight_decay, norm to clip to (0: none)

A case has one part or, adversarial networks, two: "d." and "g.", whose updates alternate.

    model_classifiers    mlp cnn cnn_norm resnet20 resnet_down resnet_large
    model_language       lstm lstm_tied gpt gpt_rotary gpt_plain (untied, no biases, gelu by erf)
    model_texts          bert (with mask and types) bert_plain (tokens alone) translate (norms behind)
                         translate_first (norms first, learned positions) forecast
    model_autoencoders   vae_labels vae_conv vae_conv_labels vqvae
    model_generative     vae vae_beta (4) gan gan_labels critic (WGAN-GP)
    model_unet           unet unet_labels unet_text
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch_models as tm
from golden import Values

STEPS, BATCHES = 10, 2


class Pair(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


# ---- losses: of the model, the part, and the inputs of one step ----


def classify(m, part, x, y):
    return F.cross_entropy(m(x), y)


def next_symbol(m, part, tokens):
    logits = m(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def carried(m, part, tokens):
    """Two halves of the sequence: the second begins with the first's state."""
    half, state, losses = tokens.shape[1] // 2, None, []
    for i in (0, half):
        logits, state = m(tokens[:, i : i + half], state)
        target = tokens[:, i + 1 : i + half + 1]
        losses.append(F.cross_entropy(logits.flatten(0, 1), target.flatten()))
    return sum(losses)


def elbo(beta):
    def loss(m, part, x, noise, *labels):
        logits, mean, logvar = m(x, noise, *labels)
        likelihood = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return likelihood - 0.5 * beta * (1 + logvar - mean.square() - logvar.exp()).sum()

    return loss


def quantized(m, part, x):
    logits, distance, commitment = m(x)
    likelihood = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return likelihood + distance + 0.25 * commitment


def adversarial(m, part, x, z, *labels):
    one, zero = torch.ones(len(x), dtype=x.dtype), torch.zeros(len(x), dtype=x.dtype)
    fake = m.g(z, *labels)
    if part == "g.":
        return F.binary_cross_entropy_with_logits(m.d(fake, *labels), one)
    real = F.binary_cross_entropy_with_logits(m.d(x, *labels), one)
    return real + F.binary_cross_entropy_with_logits(m.d(fake.detach(), *labels), zero)


def wgan_gp(m, part, real, fake, alpha):
    mid = (alpha * real + (1 - alpha) * fake).detach().requires_grad_()
    (slope,) = torch.autograd.grad(m(mid).sum(), mid, create_graph=True)
    penalty = ((slope.flatten(1).square().sum(1).sqrt() - 1) ** 2).mean()
    return m(fake).mean() - m(real).mean() + 10 * penalty


def marked(m, part, tokens, y, *more):
    return F.cross_entropy(m(tokens, *more), y)


def translated(m, part, source, target):
    """With smoothed labels, those of padding left out."""
    logits, y = m(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten()
    return F.cross_entropy(logits, y, ignore_index=m.padding, label_smoothing=0.1)


def forecast(m, part, x, y):
    return F.mse_loss(m(x), y)


def denoise(m, part, x, target, *more):
    return F.mse_loss(m(x, *more), target)


# ---- a case ----


def draw(model, values):
    """Norms near 1, tables and biases small, the rest by its fan in; all exact in f32."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            norm = p.dim() == 1 and name.endswith("weight")
            scale = 0.2 if p.dim() == 1 else p[0].numel() ** -0.5
            p.copy_((values.normal(*p.shape, scale=scale) + norm).float())
    return model.double()


def sgd(parameters, lr, momentum, _, decay):
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=decay, foreach=False)


def adam(parameters, lr, beta1, beta2, decay):
    rule = torch.optim.AdamW if decay else torch.optim.Adam
    return rule(parameters, lr=lr, betas=(beta1, beta2), weight_decay=decay, foreach=False)


def thinned(grad):
    return grad.float().flatten()[:: 3 if grad.numel() > 512 else 1]


def case(model, name, loss, inputs, fopts, rule=adam, parts=("",)):
    values = Values(name)
    inputs = inputs(values)
    draw(model, values)
    out = {f"init.{k}": p.detach().clone().float() for k, p in model.named_parameters()}
    out.update({f"in.{i}": x.float() if x.is_floating_point() else x for i, x in enumerate(inputs)})
    out["fopts"] = torch.tensor(fopts, dtype=torch.float64)
    own = [[(k, p) for k, p in model.named_parameters() if k.startswith(part)] for part in parts]
    for part, params in zip(parts, own):
        one = loss(model, part, *(x[0] for x in inputs))
        grads = torch.autograd.grad(one, [p for _, p in params])
        out.update({f"grad.{k}": thinned(g) for (k, _), g in zip(params, grads)})
    out["loss"] = train(model, loss, inputs, fopts, rule, parts)
    return {f"{name}.{k}": t.clone().contiguous() for k, t in out.items()}


def train(model, loss, inputs, fopts, rule, parts):
    """From the start again: batch norm's statistics don't enter a loss in training."""
    params = [[p for k, p in model.named_parameters() if k.startswith(part)] for part in parts]
    rules = [rule(ps, *fopts[:4]) for ps in params]
    losses = torch.zeros(STEPS, len(parts), dtype=torch.float64)
    for i in range(STEPS):
        for j, part in enumerate(parts):
            one = loss(model, part, *(x[i % BATCHES] for x in inputs))
            rules[j].zero_grad()
            one.backward()
            if fopts[4]:
                torch.nn.utils.clip_grad_norm_(params[j], fopts[4])
            rules[j].step()
            losses[i, j] = one.detach()
    return losses


# ---- the cases ----

ADAM, ADAMW, SGD = [1e-2, 0.9, 0.999, 0, 0], [1e-2, 0.9, 0.99, 0.1, 1], [0.05, 0.9, 0, 5e-4, 0]
GAN = [2e-3, 0.5, 0.999, 0, 0]


def labelled(classes, n, *shape):
    return lambda v: (v.normal(BATCHES, n, *shape), v.integers(classes, BATCHES, n))


def tokens(vocabulary, n, length):
    return lambda v: (v.integers(vocabulary, BATCHES, n, length),)


def classifiers():
    picture = labelled(10, 3, 3, 12, 12)
    yield case(tm.Mlp(12, 10, 8, 4), "mlp", classify, labelled(4, 6, 12), ADAM)
    yield case(tm.Cnn(2, 9, 3, 10, 5), "cnn", classify, labelled(5, 4, 2, 9, 9), ADAM)
    norm = tm.Cnn(2, 9, 3, 10, 5, norm=True)
    yield case(norm, "cnn_norm", classify, labelled(5, 4, 2, 9, 9), ADAM)
    yield case(tm.Resnet(4, [3, 3, 3], pad_shortcut=True), "resnet20", classify, picture, SGD, sgd)
    yield case(tm.Resnet(4, [1, 2]), "resnet_down", classify, picture, SGD, sgd)
    large = labelled(3, 2, 1, 24, 24)
    resnet = tm.Resnet(4, [1, 1], large=True, channels=1, classes=3)
    yield case(resnet, "resnet_large", classify, large, SGD, sgd)


def language():
    yield case(tm.Lstm(11, 8, 2), "lstm", carried, tokens(11, 3, 11), ADAM)
    yield case(tm.Lstm(11, 8, 2, tied=True), "lstm_tied", carried, tokens(11, 3, 11), ADAM)
    yield case(tm.Gpt(13, 10, 2, 2, 16), "gpt", next_symbol, tokens(13, 3, 9), ADAMW)
    rotary = tm.Gpt(13, 10, 2, 2, 16, rotary=True)
    yield case(rotary, "gpt_rotary", next_symbol, tokens(13, 3, 9), ADAMW)
    plain = tm.Gpt(13, 10, 2, 2, 16, no_bias=True, untied=True, erf_gelu=True)
    yield case(plain, "gpt_plain", next_symbol, tokens(13, 3, 9), ADAMW)


def texts():
    def some(v):
        """The first token of a row always counts."""
        mask = v.integers(3, BATCHES, 3, 7).clamp(max=1)
        mask[:, :, 0] = 1
        return v.integers(11, BATCHES, 3, 7), v.integers(4, BATCHES, 3), mask, v.integers(2, BATCHES, 3, 7)

    def pairs(v):
        """Symbol 3 fills up: the ends of some rows."""
        source, target = v.integers(11, BATCHES, 3, 6), v.integers(11, BATCHES, 3, 8)
        source[:, 1, 4:], target[:, 2, 5:] = 3, 3
        source[:, :, 0] = 5
        return source, target

    def series(v):
        return v.normal(BATCHES, 4, 8, 3), v.normal(BATCHES, 4, 4, 3)

    yield case(tm.Bert(11, 9, 4, 2, 2, 8, 12, 2), "bert", marked, some, ADAMW)
    yield case(tm.Bert(11, 9, 4, 1, 2, 8, 32, 2), "bert_plain", marked, lambda v: some(v)[:2], ADAMW)
    yield case(tm.Translate(11, 9, 2, 2, 8, 12, 3, False, False), "translate", translated, pairs, ADAMW)
    yield case(tm.Translate(11, 9, 1, 2, 8, 32, 3, True, True), "translate_first", translated, pairs, ADAMW)
    yield case(tm.Forecast(3, 8, 4, 2, 8, [0.5, 2.0, 1.0]), "forecast", forecast, series, ADAM)


def generative():
    def vae(v):
        return v.normal(BATCHES, 4, 12).sigmoid().float().double(), v.normal(BATCHES, 4, 3)

    def pictures(v):
        return v.normal(BATCHES, 3, 1, 32, 32, scale=0.5), v.normal(BATCHES, 3, 6)

    def with_labels(v):
        return *pictures(v), v.integers(4, BATCHES, 3)

    def mixed(v):
        real, fake = v.normal(BATCHES, 3, 1, 32, 32), v.normal(BATCHES, 3, 1, 32, 32)
        return real, fake, v.normal(BATCHES, 3, 1, 1, 1).sigmoid().float().double()

    yield case(tm.Vae(12, 9, 3), "vae", elbo(1), vae, ADAM)
    yield case(tm.Vae(12, 9, 3), "vae_beta", elbo(4), vae, ADAM)
    gan = Pair(d=tm.Discriminator(1, 3), g=tm.Generator(1, 6, 3))
    yield case(gan, "gan", adversarial, pictures, GAN, adam, ("d.", "g."))
    gan = Pair(d=tm.Discriminator(1, 2, classes=4), g=tm.Generator(1, 6, 2, classes=4))
    yield case(gan, "gan_labels", adversarial, with_labels, GAN, adam, ("d.", "g."))
    yield case(tm.Discriminator(1, 3, critic=True), "critic", wgan_gp, mixed, GAN)


def autoencoders():
    def inputs(shape, labels):
        def make(v):
            x = v.normal(BATCHES, 4, *shape).sigmoid().float().double()
            return x, v.normal(BATCHES, 4, 3), *([v.integers(5, BATCHES, 4)] if labels else [])

        return make

    def pictures(v):
        return (v.normal(BATCHES, 3, 2, 8, 12).sigmoid().float().double(),)

    yield case(tm.Vae(12, 9, 3, 5), "vae_labels", elbo(1), inputs((12,), True), ADAM)
    yield case(tm.ConvVae(2, 8, 3, 9, 3), "vae_conv", elbo(1), inputs((2, 8, 8), False), ADAM)
    conv = tm.ConvVae(1, 8, 2, 9, 3, 5)
    yield case(conv, "vae_conv_labels", elbo(4), inputs((1, 8, 8), True), ADAM)
    yield case(tm.VqVae(2, 6, 7, 3, 2), "vqvae", quantized, pictures, ADAM)


def diffusion():
    def noisy(size, channels, more):
        def inputs(v):
            shape = BATCHES, 2, channels, size, size
            return v.normal(*shape), v.normal(*shape), v.integers(1000, BATCHES, 2), *more(v)

        return inputs

    unet = tm.UNet(2, 8, [2, 2], 1, [1])
    yield case(unet, "unet", denoise, noisy(8, 2, lambda v: ()), ADAMW)
    unet = tm.UNet(1, 8, [2], 1, [0], classes=3)
    labels = noisy(4, 1, lambda v: (v.integers(4, BATCHES, 2),))
    yield case(unet, "unet_labels", denoise, labels, ADAMW)
    unet = tm.UNet(1, 8, [2], 1, [1], context=5)
    text = noisy(4, 1, lambda v: (v.normal(BATCHES, 2, 5),))
    yield case(unet, "unet_text", denoise, text, ADAMW)


def families():
    stems = {
        "classifiers": classifiers, "language": language, "texts": texts, "generative": generative, "unet": diffusion,
        "autoencoders": autoencoders,
    }  # fmt: skip
    return {
        f"model_{stem}": {k: t for one in cases() for k, t in one.items()} for stem, cases in stems.items()
    }
