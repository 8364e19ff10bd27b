/*
 * summary.c - what a model is, as a table: layers, outputs, parameters, memory.
 *
 * One run tells the shapes: each module has a hook of ours in place of its own while it lasts.
 */
#include "nn/internal.h"
#include "tensor/plain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 100, COLUMNS = 7 };

typedef struct line {
    tp_module *m;
    tp_nn_hook *own; /* the hooks that were there */
    int n_own;
    tp_shape shape; /* of the first output of the last call */
    int calls, outputs;
    double bytes; /* of all outputs of all calls, but for those in an input's memory */
    int64_t params, trainable;
    double param_bytes;
    char name[TP_NAME];
} line;

typedef struct table {
    line *list;
    int n, at;
    size_t bytes; /* of the list */
    char *text;
    size_t room, length;
} table;

/* ---- gathering ---- */

static bool count_one(void *user, const char *name, tp_module *m)
{
    (void)name, (void)m;
    ((table *)user)->n++;
    return true;
}

static bool in_memory_of(const tp_tensor *t, tp_list in)
{
    for (int i = 0; i < in.n; i++)
        if (in.t[i] && in.t[i]->storage == t->storage) return true;
    return false;
}

static void note(tp_module *m, tp_list in, tp_list out, void *user)
{
    line *l = user;

    (void)m;
    l->calls++, l->outputs = out.n;
    if (out.n) l->shape = out.t[0]->shape;
    for (int i = 0; i < out.n; i++)
        if (!in_memory_of(out.t[i], in))
            l->bytes += (double)tp_count(out.t[i]) * (double)tp_dtype_size(tp_dtype_of(out.t[i]));
}

/* Is t a parameter of a module before this, or of this one before entry i? */
static bool counted(const table *k, const tp_module *m, int i, const tp_tensor *t)
{
    for (int l = 0; l < k->at; l++)
        for (int j = 0; j < k->list[l].m->n_entry; j++)
            if (k->list[l].m->entry[j].t == t) return true;
    for (int j = 0; j < i; j++)
        if (m->entry[j].t == t) return true;
    return false;
}

static void weigh(const table *k, line *l)
{
    for (int i = 0; i < l->m->n_entry; i++) {
        const tp_entry *e = &l->m->entry[i];
        int64_t n = tp__elements(&e->shape);

        if (e->computed || (e->t && counted(k, l->m, i, e->t))) continue;
        l->param_bytes += (double)n * (double)tp_dtype_size(e->dtype);
        if (e->buffer) continue;
        l->params += n, l->trainable += e->t && tp_needs_grad(e->t) ? n : 0;
    }
}

static bool hook_one(void *user, const char *name, tp_module *m)
{
    table *k = user;
    line *l = &k->list[k->at];
    tp_nn_hook *ours = tp__alloc(sizeof *ours);

    if (!ours) return false;
    *ours = (tp_nn_hook){ note, l };
    l->m = m, l->own = m->hook, l->n_own = m->n_hook;
    memcpy(l->name, name, strlen(name) + 1);
    weigh(k, l);
    m->hook = ours, m->n_hook = 1, k->at++;
    return true;
}

static void unhook_all(table *k)
{
    for (int i = 0; i < k->at; i++) {
        line *l = &k->list[i];

        tp__release(l->m->hook, sizeof *l->m->hook * (size_t)l->m->n_hook);
        l->m->hook = l->own, l->m->n_hook = l->n_own;
    }
}

enum { MOST_OUTPUTS = 16 };

static bool observe(table *k, tp_module *m, tp_list in)
{
    tp_tensor *out[MOST_OUTPUTS];
    tp_rng before = tp_rng_save();
    bool ok;

    TP_SCOPE;
    k->bytes = sizeof *k->list * (size_t)k->n;
    if (!(k->list = tp__alloc_zeroed(k->bytes))) return false;
    ok = tp__modules(m, hook_one, k) && tp_nn_predict_all(m, in, out, MOST_OUTPUTS) >= 0;
    unhook_all(k);
    tp__me()->rng = before;
    return ok;
}

/* ---- writing ---- */

static void put(table *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(table *k, const char *fmt, ...)
{
    size_t left = k->length < k->room ? k->room - k->length : 0;
    va_list args;

    va_start(args, fmt);
    k->length += (size_t)vsnprintf(left ? k->text + k->length : NULL, left, fmt, args);
    va_end(args);
}

typedef struct cells {
    char text[COLUMNS][TP_NAME];
} cells;

static const cells title = { { "layer", "kind", "output", "parameters", "trainable", "param mem",
                               "out mem" } };

static void bytes_text(char *to, double n)
{
    static const char *const unit[] = { "B", "KB", "MB", "GB", "TB", "PB", "EB" };
    int u = 0;

    TP_PLAIN;
    for (; n >= 999.5 && u + 1 < TP_LEN(unit); u++)
        n /= 1000;
    snprintf(to, TP_NAME, u && n < 9.95 ? "%.1f %s" : "%.0f %s", n, unit[u]);
}

static void count_text(char *to, int64_t n)
{
    if (n)
        snprintf(to, TP_NAME, "%lld", (long long)n);
    else
        snprintf(to, TP_NAME, "-");
}

static cells cells_of(const line *l)
{
    cells c = { 0 };

    snprintf(c.text[0], TP_NAME, "%s", *l->name ? l->name : "(all)");
    snprintf(c.text[1], TP_NAME, "%.*s", TP_NAME - 1, l->m->kind);
    snprintf(c.text[2], TP_NAME, "%s%s", l->outputs ? tp__shape_text(l->shape) : "-",
             l->outputs > 1 ? ", ..." : "");
    count_text(c.text[3], l->params);
    if (l->params && !l->trainable)
        snprintf(c.text[4], TP_NAME, "frozen");
    else
        count_text(c.text[4], l->trainable);
    bytes_text(c.text[5], l->param_bytes);
    bytes_text(c.text[6], l->bytes);
    return c;
}

/* How wide each column is; texts give way where all would be too wide. */
static void measure(const table *k, int width[COLUMNS])
{
    int spare = WIDTH - 2 * (COLUMNS - 1);

    for (int c = 0; c < COLUMNS; c++)
        width[c] = (int)strlen(title.text[c]);
    for (int i = 0; i < k->n; i++) {
        cells row = cells_of(&k->list[i]);

        for (int c = 0; c < COLUMNS; c++)
            width[c] = strlen(row.text[c]) > (size_t)width[c] ? (int)strlen(row.text[c]) : width[c];
    }
    for (int c = 0; c < COLUMNS; c++)
        spare -= width[c];
    for (int c = 2; spare < 0 && c >= 0; c--) { /* shapes first, names last */
        static const int least[] = { 10, 12, 24 };
        int give = width[c] - least[c] < -spare ? width[c] - least[c] : -spare;

        if (give > 0) width[c] -= give, spare += give;
    }
}

/* The end of what is too long says more than its beginning. */
static void put_row(table *k, const cells *row, const int width[COLUMNS])
{
    char text[TP_NAME];

    for (int c = 0; c < COLUMNS; c++) {
        int n = (int)strlen(row->text[c]), over = n - width[c];

        if (over > 0)
            snprintf(text, sizeof text, "..%s", row->text[c] + over + 2);
        else
            snprintf(text, sizeof text, "%s", row->text[c]);
        if (c < 3)
            put(k, "%-*s%s", width[c], text, "  ");
        else
            put(k, "%*s%s", width[c], text, c + 1 < COLUMNS ? "  " : "\n");
    }
}

static void put_line(table *k, const int width[COLUMNS])
{
    int n = 2 * (COLUMNS - 1);

    for (int c = 0; c < COLUMNS; c++)
        n += width[c];
    while (n--)
        put(k, "-");
    put(k, "\n");
}

/* Outputs are those of modules without children: a container gives what its last child gave. */
static void put_totals(table *k)
{
    int64_t params = 0, trainable = 0;
    double memory = 0, outputs = 0;
    char a[TP_NAME], b[TP_NAME];

    for (int i = 0; i < k->n; i++) {
        const line *l = &k->list[i];

        params += l->params, trainable += l->trainable, memory += l->param_bytes;
        outputs += l->m->n_child ? 0 : l->bytes;
    }
    bytes_text(a, memory), bytes_text(b, outputs);
    put(k, "%lld parameters, %lld trainable, %lld frozen\n", (long long)params,
        (long long)trainable, (long long)(params - trainable));
    put(k, "%s of parameters and buffers, %s of outputs of layers\n", a, b);
}

static void write_table(table *k)
{
    int width[COLUMNS];

    measure(k, width);
    put_row(k, &title, width), put_line(k, width);
    for (int i = 0; i < k->n; i++) {
        cells row = cells_of(&k->list[i]);

        put_row(k, &row, width);
    }
    put_line(k, width), put_totals(k);
}

/* The table of a run of m, not written yet. */
static bool make(const char *where, table *k, tp_module *m, tp_list in)
{
    if (!tp_ok()) return false;
    TP_REQUIRE_IN(where, m, TP_ERR_ARG, "missing module");
    return tp__modules(m, count_one, k) && observe(k, m, in);
}

size_t tp_summary_text(tp_module *m, tp_list in, char *text, size_t room)
{
    table k = { .text = text, .room = text ? room : 0 };

    if (k.room) *text = 0;
    if (make(__func__, &k, m, in)) write_table(&k);
    tp__release(k.list, k.bytes);
    return k.length;
}

bool tp_summary(FILE *to, tp_module *m, tp_tensor *x)
{
    table k = { 0 };
    size_t room = 0;
    bool ok;

    if (!tp_ok()) return false;
    TP_REQUIRE(to, TP_ERR_ARG, "missing file");
    if ((ok = make(__func__, &k, m, TP_LIST(x)))) {
        write_table(&k); /* nowhere: how long it is */
        room = k.length + 1, k.length = 0;
        ok = (k.text = tp__alloc(room)) != NULL;
    }
    if (ok) k.room = room, write_table(&k);
    if (ok && (fputs(k.text, to) < 0 || fflush(to)))
        ok = tp__fail(TP_ERR_IO, __func__, "it can't be written");
    tp__release(k.text, room);
    tp__release(k.list, k.bytes);
    return ok;
}
