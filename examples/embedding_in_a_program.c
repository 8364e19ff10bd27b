/*
 * embedding_in_a_program.c - Taper inside a larger program with threads of its own.
 *
 *   embedding_in_a_program [DEVICE]     cpu (without one), cuda, cuda:1 or auto
 *
 * Two workers train a model each, at once; what belongs to a thread (scopes, errors, random numbers)
 * needs no lock.  The library itself prints nothing and ends nothing: notes come to the program's own
 * log through tp_set_log, errors as return values with a text.  One worker meets an error on its
 * way, a file that isn't there, writes it to the log and goes on.
 */
#include <taper.h>

#include <pthread.h>
#include <stdio.h>

/* ---- the program's log: any thread, one line at a time ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void program_log(void *user, int level, const char *message)
{
    static const char *const name[] = { "note", "warning", "error" };

    pthread_mutex_lock(&log_lock);
    fprintf(user, "%s: %s\n", name[level], message);
    pthread_mutex_unlock(&log_lock);
}

/* ---- a worker ---- */

typedef struct worker {
    int number;
    const char *device;
    const char *weights; /* a file to begin with, or NULL */
    tp_activation activation;
    double loss;
    bool done;
    char error[512]; /* why it isn't */
} worker;

static tp_module *network(tp_activation activation)
{
    tp_module *layers[] = { tp_nn_linear_with(2, 16, (tp_linear_layer_opts){ .activation = activation }), tp_nn_linear(16, 2) };

    return tp_nn_sequential(layers, TP_LEN(layers));
}

/* Exclusive or. */
static double step(tp_module *net, tp_optim *opt, tp_device *dev)
{
    static const float x[] = { 0, 0, 0, 1, 1, 0, 1, 1 };
    static const int64_t y[] = { 0, 1, 1, 0 };
    TP_SCOPE; /* of this thread: what is made here dies at the closing brace */
    tp_tensor *out = tp_nn_forward(net, tp_from(x, TP_SHAPE(4, 2), TP_F32, dev));
    tp_tensor *loss = tp_cross_entropy(out, tp_from(y, TP_SHAPE(4), TP_I64, dev));

    tp_optim_zero_grad(opt), tp_backward(loss), tp_optim_step(opt);
    return tp_item(loss);
}

static void train(worker *w)
{
    tp_seed((uint64_t)w->number + 1);
    tp_device *dev = tp_device_open(w->device);
    tp_module *net = tp_nn_init(network(w->activation), dev);
    tp_optim *opt = tp_optim_adam(tp_nn_params(net, "*"), tp_adam(0.02));

    if (w->weights && !tp_nn_load(net, w->weights, (tp_load_opts){ 0 })) {
        program_log(stdout, 2, tp_error()); /* it can do without: the error is dealt with */
        tp_clear_error();
    }
    for (int i = 0; i < 300 && tp_ok(); i++)
        w->loss = step(net, opt, dev);
    tp_optim_free(opt), tp_nn_free(net);
}

/* The one place where a worker's errors end: the first is kept until here. */
static void *run(void *user)
{
    worker *w = user;

    train(w);
    w->done = tp_ok();
    snprintf(w->error, sizeof w->error, "%s", tp_error());
    tp_clear_error();
    tp_thread_end(); /* gives the thread's caches back at once; its end would too */
    return NULL;
}

int main(int argc, char **argv)
{
    const char *device = argc > 1 ? argv[1] : "cpu";
    worker w[] = { { 0, .device = device, .activation = TP_RELU },
                   { 1, .device = device, .activation = TP_GELU, .weights = "no such file" } };
    pthread_t thread[TP_LEN(w)];
    int running = 0, bad = 0;

    tp_set_log(program_log, stdout); /* before the threads, for all of them */
    tp_set_threads(1);               /* the program has its own: kernels take no others */
    for (; running < TP_LEN(w); running++)
        if (pthread_create(&thread[running], NULL, run, &w[running])) break;
    for (int i = 0; i < running; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < TP_LEN(w); i++) {
        if (w[i].done) printf("result worker=%d loss=%.5f\n", i, w[i].loss);
        else printf("failed worker=%d %s\n", i, w[i].error), bad = 1;
    }
    return fflush(stdout) || bad ? 1 : 0;
}
