/*
 * resnet.c - a residual network (He et al. 2015) that tells pictures apart.
 *
 *   resnet [--data DIR] [--depth 20] [--epochs 5] ...        resnet --help
 *   resnet --picture cat.png                                 what it shows, by OUT/resnet.safetensors
 *
 * DIR holds CIFAR-10 in its binary version, MNIST's four files, or a folder of pictures for each class (PNG,
 * JPEG ...), of which 80 % train and the rest tests, resized to --size; without --data it is Debian's
 * Fashion-MNIST.  Pictures are moved by up to --shift pixels and, with --flip, mirrored as they are taken.
 * Into --out go log.csv, resnet.safetensors and state.safetensors.
 */
#include <taper.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int64_t depth = 20, size = 32, shift = 2;
static bool flip;
static const char *picture;
static const double middle[] = { 0.5, 0.5, 0.5 }, spread[] = { 0.25, 0.25, 0.25 };

static const tp_train_flag flags[] = {
    { "depth", "20, as in the paper for CIFAR, or 18, wider", TP_FLAG_WHOLE, &depth, 18, 20 },
    { "size", "to which pictures in folders are resized", TP_FLAG_WHOLE, &size, 8, 1024 },
    { "shift", "pixels by which pictures are moved", TP_FLAG_WHOLE, &shift, 0, 64 },
    { "flip", "mirror half of the pictures", TP_FLAG_YES, &flip, 0, 0 },
    { "picture", "to tell what it shows, and no training", TP_FLAG_TEXT, &picture, 0, 0 },
};

static bool there(const char *dir, const char *name)
{
    char path[4096];
    struct stat s;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return !stat(path, &s);
}

/* Both sets of whatever kind of data is there. */
static bool read_data(const char *dir, uint64_t seed, tp_dataset **part)
{
    bool idx = !dir || there(dir, "train-images-idx3-ubyte") || there(dir, "train-images-idx3-ubyte.gz");

    if (idx) part[0] = tp_data_fashion_mnist(dir, "train"), part[1] = tp_data_fashion_mnist(dir, "test");
    else if (there(dir, "data_batch_1.bin") || there(dir, "data_batch_1.bin.gz"))
        part[0] = tp_data_cifar10(dir, "train"), part[1] = tp_data_cifar10(dir, "test");
    else
        tp_data_split(tp_data_image_folder(dir, (tp_images_opts){ .channels = 3, .height = size }), (double[]){ .8, .2 }, 2, seed, part);
    return tp_ok();
}

/* Moved, mirrored, and the channels' values around 0. */
static tp_dataset *prepared(tp_dataset *d, bool training)
{
    tp_shape s = tp_data_shape(d, 0);
    tp_augment steps[3];
    int n = 0;

    if (training && shift) steps[n++] = tp_augment_crop(s.n[1], s.n[2], shift, TP_EDGE_ZERO);
    if (training && flip) steps[n++] = tp_augment_flip(0.5);
    steps[n++] = tp_augment_normalize(middle, spread, (int)s.n[0]);
    return tp_data_augment(d, steps, n);
}

static double accuracy(tp_module *m, tp_loader *test, void *unused)
{
    (void)unused;
    return tp_train_accuracy(m, test);
}

/* The class of one picture, resized as those that were trained on. */
static void tell(const char *weights, tp_device *dev)
{
    TP_SCOPE;
    tp_module *m = tp_model_load(weights, "resnet", dev);
    const tp_resnet_opts *o = tp_nn_opts(m);
    const char *side = tp_nn_noted(m, "size");
    tp_tensor *x = m ? tp_data_image_load(picture, (int)o->channels, tp_device_open("cpu")) : NULL, *place = NULL;
    int64_t s = side ? atoll(side) : size, h = x ? tp_dim(x, 1) : 1, w = x ? tp_dim(x, 2) : 1, least = h < w ? h : w;
    tp_augment steps[] = { tp_augment_resize((h * s + least - 1) / least, (w * s + least - 1) / least), tp_augment_center_crop(s, s),
                           tp_augment_normalize(middle, spread, o ? (int)o->channels : 1) };
    tp_loader *one = tp_data_loader(tp_data_augment(x ? tp_data_tensors(TP_LIST(tp_unsqueeze(x, 0))) : NULL, steps, 3), (tp_loader_opts){ .batch = 1, .device = dev });
    tp_batch b = { 0 };
    tp_tensor *p = tp_data_next(one, &b) ? tp_max_along(tp_softmax(tp_nn_predict(m, b.x), 1), 1, &place) : NULL;
    int64_t i = p ? (int64_t)tp_item(place) : 0;

    if (p && tp_model_class(m, i)) tp_train_print("%s %.3f\n", tp_model_class(m, i), tp_item(p));
    else if (p) tp_train_print("class %lld %.3f\n", (long long)i, tp_item(p));
    tp_nn_free(m), tp_data_free(one);
}

static int end(const tp_train_args *a)
{
    if (!tp_ok()) fprintf(stderr, "%s: %s\n", a->program, tp_error());
    return tp_train_status();
}

int main(int argc, char **argv)
{
    tp_train_args a = { .about = "a residual network that tells pictures apart", .epochs = 5, .batch = 128, .lr = 0.2, .seed = 1,
                        .flags = flags, .n_flags = TP_LEN(flags), .may_differ = "picture" };
    int status = tp_train_parse(&a, argc, argv);
    char weights[4096], state[4096];
    char side[24];
    tp_dataset *part[2] = { NULL };

    if (status >= 0) return status;
    tp_train_catch_interrupt();
    snprintf(weights, sizeof weights, "%s/resnet.safetensors", a.out), snprintf(state, sizeof state, "%s/state.safetensors", a.out);

    tp_device *dev = tp_device_open(a.device);
    if (picture) return tell(weights, dev), end(&a);
    bool read = (depth == 18 || depth == 20 || tp_fail(TP_ERR_ARG, "depth %lld: 18 or 20", (long long)depth)) && read_data(a.data, a.seed, part);
    int64_t classes = read ? tp_data_classes(part[0]) : 0, channels = read ? tp_data_shape(part[0], 0).n[0] : 0;
    tp_loader_opts how = { .batch = a.batch, .shuffle = true, .workers = 1, .seed = a.seed, .device = dev };
    tp_loader *train = tp_data_loader(read ? prepared(part[0], true) : NULL, how);
    tp_loader *test = tp_data_loader(read ? prepared(part[1], false) : NULL, (tp_loader_opts){ .batch = 250, .workers = 1, .device = dev });
    tp_resnet_opts o = depth == 18 ? tp_resnet18() : tp_resnet20();
    tp_sgd_opts sgd = tp_sgd(a.lr);

    o.classes = classes, o.channels = channels, sgd.momentum = 0.9, sgd.weight_decay = 5e-4;
    tp_module *net = tp_nn_init(tp_model_resnet(o), dev);
    tp_optim *opt = tp_optim_sgd(tp_nn_params(net, "*"), sgd);
    int64_t total = a.steps ? a.steps : a.epochs * tp_data_batches(train);
    tp_sched *sched = tp_sched_cosine(opt, total / 10, total, 0);
    tp_fit_result r = { .why = TP_FIT_FAILED };
    tp_fit_opts fit = { .optim = opt, .sched = sched, .train = train, .validation = test, .score = accuracy, .higher_is_better = true,
                        .steps = total, .checkpoint = state, .resume = a.resume, .options = a.options, .amp = tp_train_amp(&a),
                        .log = { .dir = a.out, .unit = "pictures", .bar = true, .plot = a.plot } };

    if (!read) tp_data_set_free(part[0]), tp_data_set_free(part[1]);
    if (tp_ok()) fprintf(stderr, "%lld pictures of %lld classes; %lld parameters\n", (long long)tp_data_count(part[0]), (long long)classes, (long long)tp_nn_count(net));
    snprintf(side, sizeof side, "%lld", (long long)(read ? tp_data_shape(part[0], 0).n[1] : 0));
    if (tp_ok()) tp_nn_note(net, "size", side);
    if (classes == 1) tp_fail(TP_ERR_ARG, "one class alone: there is nothing to tell apart");
    if (tp_model_set_classes_of(net, part[0]) && tp_train_fit(net, fit, &r) && r.why == TP_FIT_DONE && tp_model_save(net, weights))
        tp_train_print("result model=resnet test_accuracy=%.4f epochs=%lld\n", r.at.score, (long long)(r.at.step / tp_data_batches(train)));
    else if (tp_ok()) fprintf(stderr, "%s: stopped at step %lld; go on with --resume %s\n", a.program, (long long)r.at.step, state);
    tp_sched_free(sched), tp_optim_free(opt), tp_nn_free(net), tp_data_free(train), tp_data_free(test);
    return end(&a);
}
