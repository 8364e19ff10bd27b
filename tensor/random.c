/*
 * random.c - the thread's generator: a seed, and how many counters have been used.
 *
 * Kernels read {seed, offset} from the device, so that a replayed step can draw anew; here
 * that offset stays 0 and the host adds what has been used.
 */
#include "tensor/internal.h"

void tp_seed(uint64_t seed)
{
    if (tp_ok() && tp__replayable(__func__, "replays go on with the generator as it is")) tp__me()->rng = (tp_rng){ seed, 0 };
}

tp_rng tp_rng_save(void)
{
    return tp__me()->rng;
}

/* Was the generator there in the step that is captured? */
static bool was_here(const tp_thread *me, tp_rng r)
{
    const tp_tape *t = me->tape;
    uint64_t furthest = t && t->furthest > me->rng.offset ? t->furthest : me->rng.offset;

    return t && r.seed == me->rng.seed && r.offset >= t->from.offset && r.offset <= furthest;
}

void tp_rng_restore(tp_rng r)
{
    tp_thread *me = tp__me();

    /* what the same step has had, as checkpoints go, may be replayed */
    if (!tp_ok() || (!was_here(me, r) && !tp__replayable(__func__, "replays go on with the generator as it is"))) return;
    if (me->tape && me->rng.offset > me->tape->furthest) me->tape->furthest = me->rng.offset;
    me->rng = r;
}

static bool seed_device(tp_device *dev, tp_ctx *c)
{
    tp_thread *me = tp__me();
    uint64_t state[2] = { me->rng.seed, 0 };

    if (!me->rng_state[dev->id] && !(me->rng_state[dev->id] = tp__pool_alloc(dev, sizeof state)))
        return false;
    if (!tp__upload("random", c, me->rng_state[dev->id], state, sizeof state)) return false;
    me->rng_seed[dev->id] = me->rng.seed;
    return true;
}

bool tp__draw(tp_device *dev, int64_t n, tp_draw *d)
{
    tp_thread *me = tp__me();
    tp_ctx *c = tp__device_ctx(dev);

    if (!c) return false;
    if (dev == tp__tape_on(me)) {
        d->state = me->tape->generator, d->add = me->rng.offset - me->tape->from.offset;
        me->rng.offset += (uint64_t)(n + 3) / 4;
        return true;
    }
    if (!me->rng_state[dev->id] || me->rng_seed[dev->id] != me->rng.seed)
        if (!seed_device(dev, c)) return false;
    d->state = me->rng_state[dev->id], d->add = me->rng.offset;
    me->rng.offset += (uint64_t)(n + 3) / 4;
    return true;
}

static tp_tensor *drawn(tp_tensor *t, bool normal) /* made before the draw: a failure uses nothing */
{
    tp_draw d;
    tp_loop l;

    if (!t || !tp__draw(tp__device(t), tp_count(t), &d)) return NULL;
    l = tp__loop_logical(&t->shape, TP_LIST(t));
    if (normal ? TP_RUN(normal, t, &l, d, 0, 1, tp__data(t)) : TP_RUN(uniform, t, &l, d, 0, 1, tp__data(t)))
        return t;
    return NULL;
}

static tp_tensor *make(const char *where, tp_shape s, tp_device *dev, bool normal)
{
    if (!tp_ok() || !tp__shape_ok(where, s)) return NULL;
    return drawn(tp__new(s, TP_F32, dev), normal);
}

static tp_tensor *like(const char *where, tp_tensor *t, bool normal)
{
    if (!tp__check(where, TP_LIST(t), 1)) return NULL;
    return drawn(tp__new_as(t->shape, (tp_dtype)t->dtype, tp__device(t), tp__layout_of(t)), normal);
}

tp_tensor *tp_rand(tp_shape s, tp_device *dev)
{
    return make(__func__, s, dev, false);
}

tp_tensor *tp_randn(tp_shape s, tp_device *dev)
{
    return make(__func__, s, dev, true);
}

tp_tensor *tp_rand_like(tp_tensor *t)
{
    return like(__func__, t, false);
}

tp_tensor *tp_randn_like(tp_tensor *t)
{
    return like(__func__, t, true);
}
