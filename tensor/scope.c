/*
 * scope.c - the lent tensors of a thread, as one array cut by marks.
 *
 * Scope d owns lent[mark[d] .. mark[d + 1]); scope 0 is the root.  A tensor knows its place,
 * so keep and pass cost the same however many are lent.  Kept tensors leave a hole.
 */
#include "tensor/scope.h"

bool tp__lend(tp_thread *me, tp_tensor *t)
{
    if (me->n_lent == me->room_lent) {
        int room = me->room_lent ? 2 * me->room_lent : 256;
        tp_tensor **lent = tp__grow(me->lent, sizeof *lent * (size_t)me->room_lent,
                                    sizeof *lent * (size_t)room);

        if (!lent) return false;
        me->lent = lent, me->room_lent = room;
    }
    t->lent = me->n_lent;
    me->lent[me->n_lent++] = t;
    return true;
}

void tp__unlend(tp_tensor *t)
{
    tp_thread *me = tp__me();

    me->lent[t->lent] = NULL;
    if (t->lent == me->n_lent - 1 && t->lent >= me->mark[me->depth]) me->n_lent--;
    t->lent = -1;
}

tp_scope tp_scope_begin(void)
{
    tp_thread *me = tp__me();

    if (me->depth + 1 == TP_SCOPE_DEPTH) { /* deeper scopes lend to this one; the error says so */
        tp__fail(TP_ERR_ARG, "tp_scope_begin", "more than %d scopes are open", TP_SCOPE_DEPTH - 1);
        me->beyond++;
        return (tp_scope){ -1 };
    }
    me->mark[++me->depth] = me->n_lent;
    return (tp_scope){ me->depth };
}

void tp_scope_end(tp_scope s)
{
    tp_thread *me = tp__me();

    if (s.depth < 0) me->beyond--;
    if (s.depth <= 0 || s.depth > me->depth) return;
    while (me->n_lent > me->mark[s.depth]) {
        tp_tensor *t = me->lent[--me->n_lent];

        if (!t) continue;
        t->lent = -1;
        tp__free(t);
    }
    me->depth = s.depth - 1;
}

void tp__scope_close(tp_scope *s)
{
    tp_scope_end(*s);
}

tp_tensor *tp_pass(tp_tensor *t)
{
    tp_thread *me = tp__me();
    int *mark = &me->mark[me->depth];
    tp_tensor *first;

    if (!tp__there(__func__, t)) return NULL;
    if (me->depth == 0 || t->lent < *mark) return t; /* not of this scope */
    first = me->lent[*mark];
    me->lent[t->lent] = first;
    if (first) first->lent = t->lent;
    me->lent[*mark] = t, t->lent = (*mark)++; /* the parent now ends after it */
    return t;
}
