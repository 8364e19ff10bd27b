/*
 * profile_write.c - a profile as a table, and as a trace in Chrome's JSON (the "Trace Event
 * Format"), which Perfetto reads too.
 */
#include "train/profiling.h"
#include "train/train.h"

#include "tensor/plain.h"

#include <errno.h>
#include <string.h>

const char *const tp__phase_name[] = { "forward", "backward", "again", "other", "helper" };

/* ---- the trace ---- */

/* Names are the program's own: anything may be in them.  Bytes that are no UTF-8 stay. */
static void put_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') fputc('\\', f);
        if (*c < 32) fprintf(f, "\\u%04x", *c);
        else fputc(*c, f);
    }
    fputc('"', f);
}

static void put_thread(FILE *f, int id)
{
    fprintf(f, "{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"",
            id);
    if (id) fprintf(f, "helper %d\"}},\n", id);
    else fprintf(f, "training\"}},\n");
}

static void put_event(FILE *f, const tp_profile_row *r, const tp_event *e)
{
    fprintf(f,
            "{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"cat\":\"%s\",\"name\":",
            e->thread, 1e6 * e->begin, 1e6 * e->seconds, tp__phase_name[r->phase]);
    put_text(f, r->name);
    fprintf(f, ",\"args\":{\"module\":");
    put_text(f, r->module);
    if (e->cost.flops > 0) fprintf(f, ",\"flops\":%.0f", e->cost.flops);
    if (e->cost.bytes > 0) fprintf(f, ",\"bytes\":%.0f", e->cost.bytes);
    fprintf(f, "}},\n");
}

bool tp__profile_write(tp_profile *p)
{
    FILE *f = p->trace;
    bool ok;

    TP_PLAIN;
    if (!f) return true;
    p->trace = NULL;
    fprintf(f, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    for (int i = 0; i <= p->n_helper; i++)
        put_thread(f, i);
    for (int64_t i = 0; i < p->n_event; i++)
        put_event(f, &p->row[p->event[i].row], &p->event[i]);
    fprintf(f,
            "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"taper\"}}],\n"
            "\"otherData\":{\"seconds\":%.6f,\"peak_bytes\":%zu,\"events_left_out\":%lld}}\n",
            p->seconds, p->peak, (long long)p->lost);
    ok = !fflush(f) && !ferror(f);
    ok = !fclose(f) && ok;
    TP_REQUIRE_IN("tp_profile_end", ok, TP_ERR_IO, "%s is not complete: %s", p->path,
                  strerror(errno));
    return true;
}

/* ---- the table ---- */

static void rate(char *to, size_t room, double work, double seconds)
{
    TP_PLAIN;
    if (work > 0 && seconds > 0) snprintf(to, room, "%.1f", 1e-9 * work / seconds);
    else snprintf(to, room, "-");
}

static bool print_row(const tp_profile *p, const tp_profile_row *r)
{
    char flops[32], bytes[32];

    rate(flops, sizeof flops, r->flops, r->self), rate(bytes, sizeof bytes, r->bytes, r->self);
    return tp_train_print("%-24s %-8s %8lld %10.3f %10.3f %6.1f %9s %8s%s%s\n", r->name,
                          tp__phase_name[r->phase], (long long)r->calls, 1e3 * r->self,
                          1e3 * r->seconds, p->seconds > 0 ? 100 * r->self / p->seconds : 0, flops,
                          bytes, *r->module ? "  " : "", r->module);
}

static bool print_sum(const tp_profile *p)
{
    double self = 0, flops = 0;

    for (int i = 0; i < p->n_row; i++) {
        if (p->row[i].phase != TP_PHASE_HELPER) self += p->row[i].self;
        flops += p->row[i].flops;
    }
    return tp_train_print("%.3f ms in all, %.3f ms of it in ops; %.3f GFLOP, %.1f GFLOP/s; at most "
                          "%.1f MiB of tensors\n",
                          1e3 * p->seconds, 1e3 * self, 1e-9 * flops,
                          p->seconds > 0 ? 1e-9 * flops / p->seconds : 0,
                          (double)p->peak / (1024 * 1024));
}

bool tp_profile_print(const tp_profile *p)
{
    if (!tp_ok()) return false;
    TP_REQUIRE(p, TP_ERR_ARG, "missing profile");
    TP_REQUIRE(!p->on, TP_ERR_ARG, "it goes on: tp_profile_end first");
    if (!tp_train_print("%-24s %-8s %8s %10s %10s %6s %9s %8s%s\n", "op", "phase", "calls",
                        "self ms", "total ms", "self %", "GFLOP/s", "GB/s",
                        p->o.by_module ? "  module" : ""))
        return false;
    for (int i = 0; i < p->n_row && i < p->o.rows; i++)
        if (!print_row(p, &p->row[i])) return false;
    if (p->n_row > p->o.rows && !tp_train_print("... and %d rows more\n", p->n_row - p->o.rows))
        return false;
    if (p->lost && !tp_train_print("%lld events are not in the trace\n", (long long)p->lost))
        return false;
    return print_sum(p);
}
