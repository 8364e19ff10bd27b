/*
 * csv_columns.c - columns of a table as numbers, codes, one-hot columns or labels.
 */
#include "data/csv.h"
#include "data/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char where[] = "tp_data_csv";

/* One value of a column of categories: its number, or 0 and the text. */
typedef struct level {
    double v;
    const char *text;
} level;

typedef struct column {
    int64_t at;    /* in the table */
    bool words;    /* some field is no number */
    level *levels; /* sorted, different; NULL: a column of numbers */
    int64_t n, room, width;
} column;

typedef struct table {
    tp_csv c;
    tp_csv_opts o;
    column *x, *y;
    int64_t n_x, n_y, width; /* width: columns of the x that comes out */
    bool labels;             /* y is a label */
} table;

/* What a data set of a table holds. */
typedef struct rows {
    tp_tensor *x, *y;
    size_t x_bytes, y_bytes; /* of a row */
    tp_names names, columns;
} rows;

/* ---- which columns ---- */

static bool missing(const char *field)
{
    static const char *const word[] = { "",         "#N/A", "#N/A N/A", "#NA",    "-1.#IND",
                                        "-1.#QNAN", "-NaN", "-nan",     "1.#IND", "1.#QNAN",
                                        "<NA>",     "N/A",  "NA",       "NULL",   "NaN",
                                        "None",     "n/a",  "nan",      "null" };

    for (int i = 0; i < TP_LEN(word); i++)
        if (!strcmp(field, word[i])) return true;
    return field[strspn(field, " \t")] == 0;
}

static bool by_number(const char *name, int64_t *at)
{
    char *end;
    long long v;

    if (!*name || name[strspn(name, "-0123456789")]) return false;
    v = strtoll(name, &end, 10);
    *at = v;
    return *end == 0;
}

static bool find_column(const tp_csv *c, const char *name, int64_t *at)
{
    int64_t found = -1, v;

    for (int64_t i = 0; c->header && i < c->cols; i++) {
        if (strcmp(c->header[i], name) != 0) continue;
        TP_REQUIRE_IN(where, found < 0, TP_ERR_ARG,
                      "%s: two columns are named \"%s\": name them by number", c->path, name);
        found = i;
    }
    if (found < 0 && by_number(name, &v) && v >= -c->cols && v < c->cols)
        found = v < 0 ? v + c->cols : v;
    TP_REQUIRE_IN(where, found >= 0, TP_ERR_ARG,
                  "%s: there is no column \"%s\": there are %lld, %s to %s", c->path, name,
                  (long long)c->cols, tp__csv_column_text(c, 0),
                  tp__csv_column_text(c, c->cols - 1));
    *at = found;
    return true;
}

/* The next name of a list, quotes taken off; false at its end. */
static bool next_name(const char **list, char *name, size_t room)
{
    const char *s = *list;
    bool quoted = *s == '"';
    size_t n = 0;

    if (!*s) return false;
    for (s += quoted; *s && (quoted || *s != ','); s++) {
        if (quoted && *s == '"' && *++s != '"') quoted = false;
        if (!quoted && (*s == ',' || !*s)) break;
        if (n + 1 < room) name[n++] = *s;
    }
    name[n] = 0;
    *list = s + (*s == ',');
    return true;
}

static bool taken(const column *l, int64_t n, int64_t at)
{
    for (int64_t i = 0; i < n; i++)
        if (l[i].at == at) return true;
    return false;
}

/* Columns of a list; NULL and an error when there is none such. */
static bool choose(table *t, const char *list, column *to, int64_t *n)
{
    char name[1024];

    for (*n = 0; next_name(&list, name, sizeof name); ++*n) {
        int64_t at = 0;

        if (!find_column(&t->c, name, &at)) return false;
        TP_REQUIRE_IN(where, !taken(t->y, t->n_y, at) && !(to == t->x && taken(t->x, *n, at)),
                      TP_ERR_ARG, "%s: %s is chosen twice", t->c.path,
                      tp__csv_column_text(&t->c, at));
        to[*n].at = at;
    }
    return true;
}

/* Digits and signs of a number, written otherwise: with a decimal comma, or thousands parted. */
static bool like_number(const char *text)
{
    return strpbrk(text, "0123456789") && strchr(text, ',') && !text[strspn(text, "0123456789,. +-eE'")];
}

/* Text, and nothing like a number? */
static bool texts_only(const table *t, int64_t col)
{
    bool some = false;
    double v;

    for (int64_t r = 0; r < t->c.rows; r++) {
        const char *text = tp__csv_at(&t->c, r, col);

        if (missing(text)) continue;
        if (tp__number(text, &v) || like_number(text)) return false;
        some = true;
    }
    return some;
}

/* All but y, without those of text where they are left out: unless there are no others, to be refused. */
static void choose_rest(table *t)
{
    bool leave_out = t->o.words == TP_WORDS_LEAVE_OUT;

    for (int all = !leave_out; all < 2 && !t->n_x; all++)
        for (int64_t i = 0; i < t->c.cols; i++)
            if (!taken(t->y, t->n_y, i) && (all || !texts_only(t, i))) t->x[t->n_x++].at = i;
}

static bool choose_columns(table *t)
{
    size_t bytes = sizeof(column) * (size_t)t->c.cols;

    if (!(t->x = tp__alloc_zeroed(bytes)) || !(t->y = tp__alloc_zeroed(bytes))) return false;
    if (t->o.y && !choose(t, t->o.y, t->y, &t->n_y)) return false;
    TP_REQUIRE_IN(where, !t->o.y || t->n_y, TP_ERR_ARG, "%s: y names no column", t->c.path);
    if (t->o.x && !choose(t, t->o.x, t->x, &t->n_x)) return false;
    TP_REQUIRE_IN(where, !t->o.x || t->n_x, TP_ERR_ARG, "%s: x names no column", t->c.path);
    if (!t->o.x) choose_rest(t);
    TP_REQUIRE_IN(where, t->n_x, TP_ERR_ARG, "%s: no column is left for x", t->c.path);
    return true;
}

/* ---- what is missing ---- */

static bool row_lacks(const table *t, int64_t row)
{
    for (int64_t i = 0; i < t->n_x; i++)
        if (missing(tp__csv_at(&t->c, row, t->x[i].at))) return true;
    for (int64_t i = 0; i < t->n_y; i++)
        if (missing(tp__csv_at(&t->c, row, t->y[i].at))) return true;
    return false;
}

static bool drop_rows(table *t)
{
    tp_csv *c = &t->c;
    int64_t kept = 0;

    for (int64_t r = 0; r < c->rows; r++) {
        if (row_lacks(t, r)) continue;
        memmove(c->field + kept * c->cols, c->field + r * c->cols,
                sizeof *c->field * (size_t)c->cols);
        c->line[kept++] = c->line[r];
    }
    c->rows = kept;
    TP_REQUIRE_IN(where, kept, TP_ERR_FORMAT, "%s: every row lacks something", c->path);
    return true;
}

static bool refuse_field(const table *t, int64_t row, int64_t col, const char *why)
{
    tp__fail(TP_ERR_FORMAT, where, "%s: line %lld, %s: %s", t->c.path, (long long)t->c.line[row],
             tp__csv_column_text(&t->c, col), why);
    return false;
}

/* Is there, but for its comma, a number? */
static bool decimal_comma(const char *text)
{
    size_t n = strcspn(text, ",");
    char other[64];
    double v;

    if (!text[n] || strlen(text) >= sizeof other) return false;
    strcpy(other, text)[n] = '.';
    return tp__number(other, &v);
}

static bool refuse_words(const table *t, int64_t row, int64_t col)
{
    const char *text = tp__csv_at(&t->c, row, col);
    char why[160];

    snprintf(why, sizeof why, "\"%.60s\" is no number%s", text,
             decimal_comma(text) ? ": decimals come after a point, not a comma" : "");
    return refuse_field(t, row, col, why);
}

/* ---- categories ---- */

static int by_level(const void *a, const void *b)
{
    const level *p = a, *q = b;

    return p->v < q->v ? -1 : p->v > q->v ? 1 : strcmp(p->text, q->text);
}

static bool same_level(const column *k, const level *a, const level *b)
{
    return k->words ? !strcmp(a->text, b->text) : a->v == b->v;
}

static level level_of(const column *k, const char *text)
{
    level l = { 0, text };

    if (!k->words) tp__number(text, &l.v);
    return l;
}

static bool find_levels(table *t, column *k)
{
    int64_t n = 0;

    k->room = t->c.rows;
    if (!(k->levels = tp__alloc(sizeof *k->levels * (size_t)k->room))) return false;
    for (int64_t r = 0; r < t->c.rows; r++) {
        const char *text = tp__csv_at(&t->c, r, k->at);

        if (!missing(text)) k->levels[n++] = level_of(k, text);
    }
    if (n) qsort(k->levels, (size_t)n, sizeof *k->levels, by_level);
    for (int64_t i = 0; i < n; i++)
        if (!k->n || !same_level(k, &k->levels[k->n - 1], &k->levels[i]))
            k->levels[k->n++] = k->levels[i];
    return true;
}

static int64_t code_of(const column *k, const char *text)
{
    level l = level_of(k, text);
    int64_t low = 0, high = k->n - 1;

    while (low < high) {
        int64_t middle = (low + high) / 2;
        const level *m = &k->levels[middle];
        int order = k->words ? strcmp(m->text, text) : (m->v > l.v) - (m->v < l.v);

        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Is each field that isn't missing a number?  Else *row is the first that is none. */
static bool numbers_only(const table *t, int64_t col, int64_t *row)
{
    double v;

    for (int64_t r = 0; r < t->c.rows; r++) {
        const char *text = tp__csv_at(&t->c, r, col);

        if (!missing(text) && !tp__number(text, &v)) return *row = r, false;
    }
    return true;
}

/* A column of numbers but for less than half: categories are it hardly. */
static bool mostly_numbers(const table *t, int64_t col)
{
    int64_t numbers = 0, texts = 0;
    double v;

    for (int64_t r = 0; r < t->c.rows; r++) {
        const char *text = tp__csv_at(&t->c, r, col);

        if (!missing(text)) tp__number(text, &v) ? numbers++ : texts++;
    }
    return numbers > texts && numbers > MOST_MIXED;
}

static bool describe_x(table *t, column *k)
{
    int64_t row;

    k->width = 1;
    k->words = !numbers_only(t, k->at, &row);
    if (k->words && (t->o.words == TP_WORDS_REFUSE || t->o.words == TP_WORDS_LEAVE_OUT || mostly_numbers(t, k->at)))
        return refuse_words(t, row, k->at);
    if (k->words && !find_levels(t, k)) return false;
    TP_REQUIRE_IN(where, k->n <= MOST_WORDS, TP_ERR_FORMAT,
                  "%s: %s has %lld different texts: at most %d are categories", t->c.path,
                  tp__csv_column_text(&t->c, k->at), (long long)k->n, MOST_WORDS);
    if (k->words && t->o.words == TP_WORDS_ONE_HOT) k->width = k->n;
    TP_REQUIRE_IN(where,
                  !k->words || t->o.words != TP_WORDS_CODES || t->o.missing != TP_MISSING_MEAN,
                  TP_ERR_ARG, "%s: %s: codes have no mean to fill in", t->c.path,
                  tp__csv_column_text(&t->c, k->at));
    t->width += k->width;
    return true;
}

static bool describe_y(table *t)
{
    int64_t row = 0;

    for (int64_t i = 0; i < t->n_y; i++) {
        t->y[i].words = !numbers_only(t, t->y[i].at, &row);
        if (t->y[i].words && t->n_y > 1) return refuse_words(t, row, t->y[i].at);
        t->labels = t->o.classes || t->y[i].words;
    }
    TP_REQUIRE_IN(where, !t->labels || t->n_y == 1, TP_ERR_ARG,
                  "%s: a label is one column, not %lld", t->c.path, (long long)t->n_y);
    return !t->labels || find_levels(t, &t->y[0]);
}

/* ---- numbers ---- */

static bool number_at(const table *t, int64_t row, int64_t col, float *to)
{
    const char *text = tp__csv_at(&t->c, row, col);
    char why[128];
    double v = NAN;

    tp__number(text, &v);
    *to = (float)v;
    if (!isinf(*to)) return true;
    snprintf(why, sizeof why, "\"%.60s\" is infinite, or too large for f32", text);
    return refuse_field(t, row, col, why);
}

/* Writes one field of x; what is missing is NaN for now. */
static bool encode(const table *t, const column *k, int64_t row, float *to)
{
    const char *text = tp__csv_at(&t->c, row, k->at);
    bool lacks = missing(text), zeros = t->o.missing != TP_MISSING_MEAN;

    if (lacks && t->o.missing == TP_MISSING_REFUSE)
        return refuse_field(t, row, k->at, "nothing is there");
    if (!k->words) return lacks ? (*to = NAN, true) : number_at(t, row, k->at, to);
    if (t->o.words == TP_WORDS_CODES) return *to = lacks ? NAN : (float)code_of(k, text), true;
    for (int64_t i = 0; i < k->n; i++)
        to[i] = lacks && !zeros ? NAN : 0;
    if (!lacks) to[code_of(k, text)] = 1;
    return true;
}

static bool fill_means(const table *t, float *x)
{
    for (int64_t c = 0; c < t->width; c++) {
        double sum = 0, n = 0;

        for (int64_t r = 0; r < t->c.rows; r++)
            if (!isnan(x[r * t->width + c])) sum += x[r * t->width + c], n++;
        TP_REQUIRE_IN(where, n > 0, TP_ERR_FORMAT, "%s: column %lld of x has nothing to take a mean of",
                      t->c.path, (long long)c);
        for (int64_t r = 0; r < t->c.rows; r++)
            if (isnan(x[r * t->width + c])) x[r * t->width + c] = (float)(sum / n);
    }
    return true;
}

static tp_tensor *make_x(const table *t)
{
    tp_shape s = TP_SHAPE(t->c.rows, t->width);
    tp_tensor *x = tp__shape_ok(where, s) ? tp__new(s, TP_F32, tp__cpu()) : NULL;
    float *to = tp__data(x);

    if (!x) return NULL;
    for (int64_t r = 0; r < t->c.rows; r++)
        for (int64_t i = 0; i < t->n_x; to += t->x[i++].width)
            if (!encode(t, &t->x[i], r, to)) return NULL;
    return t->o.missing != TP_MISSING_MEAN || fill_means(t, tp__data(x)) ? x : NULL;
}

static tp_tensor *make_y(const table *t)
{
    tp_tensor *y = tp__new(t->labels ? TP_SHAPE(t->c.rows) : TP_SHAPE(t->c.rows, t->n_y),
                           t->labels ? TP_I64 : TP_F32, tp__cpu());
    bool may_lack = t->o.missing == TP_MISSING_NAN && !t->labels;

    for (int64_t r = 0; y && r < t->c.rows; r++)
        for (int64_t i = 0; i < t->n_y; i++) {
            const char *text = tp__csv_at(&t->c, r, t->y[i].at);
            float *to = (float *)tp__data(y) + r * t->n_y + i;

            if (missing(text) && !may_lack)
                return refuse_field(t, r, t->y[i].at, "nothing is there"), NULL;
            if (t->labels)
                ((int64_t *)tp__data(y))[r] = code_of(&t->y[0], text);
            else if (missing(text))
                *to = NAN;
            else if (!number_at(t, r, t->y[i].at, to))
                return NULL;
        }
    return y;
}

/* ---- names ---- */

static bool name_column(const table *t, const column *k, int64_t value, tp_names *l)
{
    char number[24];
    const char *name = t->c.header ? t->c.header[k->at] : number;
    size_t n;
    tp_bytes b = { 0 };
    bool ok;

    snprintf(number, sizeof number, "%lld", (long long)k->at);
    if (value < 0) return tp__names_add(l, name, strlen(name));
    n = strlen(name) + strlen(k->levels[value].text) + 1;
    if (!tp__bytes_room(&b, n + 1)) return false;
    snprintf(b.p, n + 1, "%s=%s", name, k->levels[value].text);
    ok = tp__names_add(l, b.p, n);
    tp__bytes_free(&b);
    return ok;
}

static bool name_all(const table *t, rows *r)
{
    for (int64_t i = 0; i < t->n_x; i++) {
        const column *k = &t->x[i];
        bool hot = k->words && t->o.words == TP_WORDS_ONE_HOT;

        for (int64_t v = 0; v < k->width; v++)
            if (!name_column(t, k, hot ? v : -1, &r->columns)) return false;
    }
    for (int64_t i = 0; t->labels && i < t->y[0].n; i++) {
        const char *text = t->y[0].levels[i].text;

        if (!tp__names_add(&r->names, text, strlen(text))) return false;
    }
    return true;
}

/* ---- the data set ---- */

static tp_got get_row(void *user, int64_t i, void *const *fields)
{
    const rows *r = user;

    memcpy(fields[0], (const char *)tp__data(r->x) + (size_t)i * r->x_bytes, r->x_bytes);
    if (r->y) memcpy(fields[1], (const char *)tp__data(r->y) + (size_t)i * r->y_bytes, r->y_bytes);
    return TP_ITEM;
}

static int64_t label_of(void *user, int64_t i)
{
    return ((const int64_t *)tp__data(((rows *)user)->y))[i];
}

static void free_rows(void *user)
{
    rows *r = user;

    tp__free(r->x), tp__free(r->y);
    tp__names_free(&r->names), tp__names_free(&r->columns);
    tp__release(r, sizeof *r);
}

static tp_dataset *make_set(const table *t, rows *r)
{
    tp_source s = { .count = t->c.rows,
                    .fields = t->n_y ? 2 : 1,
                    .shape = { TP_SHAPE(t->width), TP_SCALAR },
                    .dtype = { TP_F32, t->labels ? TP_I64 : TP_F32 },
                    .get = get_row,
                    .done = free_rows,
                    .user = r };
    tp_dataset *d;

    if (!t->labels) s.shape[1] = TP_SHAPE(t->n_y);
    r->x_bytes = tp__field_bytes(&s, 0), r->y_bytes = tp__field_bytes(&s, 1);
    if (!(d = tp_data_source(s))) return NULL;
    d->columns = (const char *const *)r->columns.name;
    if (t->labels)
        d->classes = r->names.n, d->names = (const char *const *)r->names.name, d->label = label_of;
    return d;
}

static tp_dataset *build(const table *t)
{
    rows *r;
    TP_SCOPE;
    tp_tensor *x = make_x(t), *y = x && t->n_y ? make_y(t) : NULL;

    if (!tp_ok() || !(r = tp__alloc_zeroed(sizeof *r))) return NULL;
    r->x = tp__keep(x), r->y = y ? tp__keep(y) : NULL;
    if (name_all(t, r)) return make_set(t, r);
    free_rows(r);
    return NULL;
}

static bool read_table(table *t, const char *path)
{
    if (!tp__csv_parse(&t->c, where, path, &t->o) || !choose_columns(t)) return false;
    if (t->o.missing == TP_MISSING_DROP && !drop_rows(t)) return false;
    if (!describe_y(t)) return false;
    for (int64_t i = 0; i < t->n_x; i++)
        if (!describe_x(t, &t->x[i])) return false;
    return true;
}

static void free_columns(table *t, column *l)
{
    for (int64_t i = 0; l && i < t->c.cols; i++)
        tp__release(l[i].levels, sizeof *l[i].levels * (size_t)l[i].room);
    tp__release(l, sizeof *l * (size_t)t->c.cols);
}

tp_dataset *tp_data_csv(const char *path, tp_csv_opts o)
{
    table t = { .o = o };
    tp_dataset *d;

    if (!tp_ok()) return NULL;
    TP_REQUIRE((unsigned)o.missing <= TP_MISSING_DROP, TP_ERR_ARG,
               "missing %d: a tp_missing is wanted", o.missing);
    TP_REQUIRE((unsigned)o.words <= TP_WORDS_LEAVE_OUT, TP_ERR_ARG,
               "words %d: a tp_words is wanted", o.words);
    d = read_table(&t, path) ? build(&t) : NULL;
    free_columns(&t, t.x), free_columns(&t, t.y);
    tp__csv_free(&t.c);
    return d;
}

const char *tp_data_column(const tp_dataset *d, int64_t i)
{
    return d && d->columns && i >= 0 && i < tp__elements(&d->s.shape[0]) ? d->columns[i] : NULL;
}
