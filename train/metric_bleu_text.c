/*
 * metric_bleu_text.c - plain text as words for BLEU: mteval-v13a's rules, sacrebleu's default.
 *
 * Each is a pass over the text that puts spaces around marks; between spaces are the words.
 */
#include "tensor/internal.h"
#include "train/metrics.h"

#include <string.h>

enum { GROWTH = 9 }; /* a mark gets two spaces in each of four passes at most */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_point(char c)
{
    return c == '.' || c == ',';
}

static bool is_mark(char c) /* of ASCII, but for ' - . , */
{
    return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
           (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

/* The text between two spaces, on one line, and &quot; and its like as they are meant. */
static size_t plain(const char *s, char *to)
{
    /* sacrebleu replaces &quot; first, then &amp;, then the others: "&amp;lt;" is "<" */
    static const char *const name[] = { "&amp;lt;", "&amp;gt;", "&quot;", "&amp;", "&lt;", "&gt;", "<skipped>" };
    size_t at = 0;

    for (to[at++] = ' '; *s; s++) {
        int is = -1;

        for (int i = 0; is < 0 && i < TP_LEN(name); i++)
            if (!strncmp(s, name[i], strlen(name[i]))) is = i;
        if (is == TP_LEN(name) - 1)
            s += strlen(name[is]) - 1;
        else if (is >= 0)
            to[at++] = "<>\"&<>"[is], s += strlen(name[is]) - 1;
        else if (*s == '-' && s[1] == '\n')
            s++;
        else
            to[at++] = *s == '\n' ? ' ' : *s;
    }
    return to[at] = ' ', at + 1;
}

/* Passes: every mark apart; a point behind no digit; a point before no digit; a dash behind a
 * digit. */
static size_t spaced(int pass, const char *s, size_t n, char *to)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        bool two = i + 1 < n;

        if (pass == 0 && is_mark(s[i])) {
            to[at++] = ' ', to[at++] = s[i], to[at++] = ' ';
        } else if (two && ((pass == 1 && !is_digit(s[i]) && is_point(s[i + 1])) ||
                           (pass == 3 && is_digit(s[i]) && s[i + 1] == '-'))) {
            to[at++] = s[i++], to[at++] = ' ', to[at++] = s[i], to[at++] = ' ';
        } else if (two && pass == 2 && is_point(s[i]) && !is_digit(s[i + 1])) {
            to[at++] = ' ', to[at++] = s[i++], to[at++] = ' ', to[at++] = s[i];
        } else {
            to[at++] = s[i];
        }
    }
    return at;
}

static size_t room_of(const char *text)
{
    return GROWTH * (strlen(text) + 2) + 1;
}

/* The words of a text with a space between; 2 room_of(text) bytes, or NULL and an error. */
static char *words_of(const char *text)
{
    size_t room = room_of(text), n;
    char *to = tp__alloc(2 * room);

    if (!to) return NULL;
    n = plain(text, to);
    for (int pass = 0; pass < 4; pass++)
        n = spaced(pass, pass % 2 ? to + room : to, n, pass % 2 ? to : to + room);
    return to[n] = 0, to;
}

bool tp_metric_bleu_text(tp_metric *m, const char *candidate, const char *const *refs,
                         int n_refs)
{
    size_t bytes = sizeof(char *) * (size_t)(n_refs > 0 ? n_refs + 1 : 1);
    char **word, *own;
    bool ok = true;

    if (!m || !tp_ok()) return false;
    TP_REQUIRE(candidate && refs && n_refs > 0, TP_ERR_ARG,
               "a text and at least one reference are wanted");
    for (int i = 0; i < n_refs; i++)
        TP_REQUIRE(refs[i], TP_ERR_ARG, "reference %d is missing", i);
    if (!(word = tp__alloc_zeroed(bytes))) return false;
    own = words_of(candidate);
    for (int i = 0; ok && i < n_refs; i++)
        ok = (word[i] = words_of(refs[i])) != NULL;
    ok = ok && own && tp_metric_bleu_words(m, own, (const char *const *)word, n_refs);
    for (int i = 0; i < n_refs; i++)
        tp__release(word[i], 2 * room_of(refs[i]));
    tp__release(own, 2 * room_of(candidate));
    tp__release(word, bytes);
    return ok;
}
