/*
 * log_json.c - a log as JSON lines: {"step": 12, "seconds": 0.81, "loss": 0.4312}
 */
#include "train/log.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where an earlier log's rows end that ours go on below, as in log.csv; rows of any length.  *last:
 * where that of step `from` begins, if there is one. */
static long end_of_rows(FILE *f, int64_t from, long *last)
{
    char *line = NULL;
    size_t room = 0;
    long end = 0;

    for (ssize_t n; (n = getline(&line, &room, f)) > 0 && line[n - 1] == '\n'; end = ftell(f)) {
        json_t *row = json_loads(line, 0, NULL);
        json_int_t step = row ? json_integer_value(json_object_get(row, "step")) : -1;

        json_decref(row);
        if (!row || (from && step > from)) break;
        if (from && step == from) *last = end;
    }
    free(line);
    return end;
}

bool tp__log_json_open(tp_logger *l)
{
    char path[4096];
    FILE *f;

    if (!l->o.json || !l->dir) return true;
    snprintf(path, sizeof path, "%s/log.jsonl", l->dir);
    if (l->o.append && (f = fopen(path, "r+"))) {
        if (ftruncate(fileno(f), end_of_rows(f, l->o.from, &l->json_at))) l->json_lost = true;
        fclose(f);
    }
    l->json = tp__log_file(path, l->o.append);
    TP_REQUIRE_IN("tp_log_open", l->json, TP_ERR_IO, "%s can't be written: %s", path, strerror(errno));
    return true;
}

/* A number that JSON can't say, an infinity, is null. */
static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

void tp__log_json_row(tp_logger *l, const double *v)
{
    json_t *row = l->json ? json_object() : NULL;
    bool ok = row && !json_object_set_new(row, "step", json_integer(l->row)) &&
              !json_object_set_new(row, "seconds", json_real(tp_log_seconds(l)));

    for (int i = 0; ok && i < l->n; i++)
        if (!isnan(v[i])) ok = !json_object_set_new(row, l->track[i].key, number(v[i]));
    if (l->json && !(ok && !json_dumpf(row, l->json, JSON_REAL_PRECISION(9)) && fputc('\n', l->json) != EOF))
        l->json_lost = true;
    json_decref(row);
}
