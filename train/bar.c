/*
 * bar.c - how far a run is, on stderr:
 *
 *     cnn   412/2814 [=====>            ]  loss 0.4312  accuracy 0.8731  8312 images/s  0:19 left
 *
 * A terminal sees one line that changes, ten times a second at most; anything else a line now
 * and then.
 */
#include "train/log.h"

#include "tensor/plain.h"

#include <string.h>

static void put_time(char *text, size_t room, double seconds)
{
    long s = seconds > 0 && seconds < 1e8 ? (long)(seconds + 0.5) : 0;

    if (s >= 3600) snprintf(text, room, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(text, room, "%ld:%02ld", s / 60, s % 60);
}

static size_t put_track(char *line, size_t room)
{
    char filled[21];

    memset(filled, ' ', 20), filled[20] = 0;
    return (size_t)snprintf(line, room, "[%s] ", filled);
}

static void compose(const tp_logger *l, char *line, size_t room)
{
    double rate = tp_log_rate(l), share = l->o.total > 0 ? (double)l->step / (double)l->o.total : 0;
    double left = (double)(l->o.total - l->step) * tp_log_seconds(l) / (double)(l->step - l->o.from);
    size_t n = (size_t)snprintf(line, room, "%6lld", (long long)l->step), at;
    char time[32];

    TP_PLAIN;
    if (l->o.total > 0) {
        n += (size_t)snprintf(line + n, room - n, "/%lld ", (long long)l->o.total), at = n + 1;
        n += put_track(line + n, room - n);
        for (int i = 0; i < 20 && i < (int)(20 * share); i++)
            line[at + (size_t)i] = i + 1 < (int)(20 * share) ? '=' : '>';
    }
    for (int i = 0; i < l->n && n < room; i++)
        if (l->track[i].seen)
            n += (size_t)snprintf(line + n, room - n, "  %s %.4g", l->track[i].key, l->track[i].last);
    if (n < room)
        n += (size_t)snprintf(line + n, room - n, "  %.0f %s/s", rate, l->o.unit ? l->o.unit : "steps");
    put_time(time, sizeof time, l->step < l->o.total ? left : tp_log_seconds(l));
    if (n < room) snprintf(line + n, room - n, "  %s %s", time, l->step < l->o.total ? "left" : "in all");
}

void tp__log_bar(tp_logger *l, bool last)
{
    double now = tp__now(), pause = l->terminal ? 0.1 : 10;
    char line[512];

    if (!l->o.bar || (!last && now - l->shown < pause) || (last && l->step == l->o.from)) return;
    l->shown = now, l->drawn = true;
    compose(l, line, sizeof line);
    fprintf(stderr, l->terminal ? "\r\033[K%s%s" : "%s%s", line, l->terminal && !last ? "" : "\n");
    fflush(stderr);
}
