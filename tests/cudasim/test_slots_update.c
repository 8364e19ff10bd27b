/*
 * test_slots_update.c - CUDA's optimizers, clipping and averages against the CPU's.
 */
#include "tests/cudasim/slots.h"

TestSuite(slots, .init = open_machines, .fini = close_machines);

enum { TENSORS = 60, MANY = 600, LAUNCH = 256 }; /* LAUNCH: what one launch takes */

typedef struct group {
    buffer g[TENSORS], p[TENSORS], m[TENSORS], v[TENSORS], w[TENSORS], lr, step, scale, skip;
    tp_update u[SIDES][TENSORS];
} group;

static void make_group(group *k, tp_dtype t)
{
    k->lr = values(TP_F64, 1, (double[]){ 0.05 }),
    k->step = values(TP_F64, 1, (double[]){ 0 });
    k->scale = values(TP_F64, 1, (double[]){ 8 }), k->skip = values(TP_F64, 1, (double[]){ 0 });
    for (int i = 0; i < TENSORS; i++) {
        int64_t n = i == 3 ? 9000 : i == 5 ? 0 : 1 + i * 3;

        k->g[i] = numbers(t, n, -1, 1), k->p[i] = numbers(t, n, -1, 1);
        k->m[i] = numbers(t, n, 0, 0), k->v[i] = numbers(t, n, 0, 0);
        k->w[i] = numbers(t, n, 0, 0);
        for (int s = 0; s < SIDES; s++)
            k->u[s][i] = (tp_update){ n, k->g[i].at[s], k->p[i].at[s], k->m[i].at[s],
                                      k->v[i].at[s], k->w[i].at[s] };
    }
}

static void check_group(const group *k)
{
    for (int i = 0; i < TENSORS; i++)
        check_close(&k->p[i], 16), check_close(&k->m[i], 16), check_close(&k->v[i], 16),
            check_close(&k->w[i], 16);
    check_same(&k->step);
}

#define SCALARS(k) ((tp_scalars){ AT((k).lr), AT((k).step), AT((k).scale), AT((k).skip) })

Test(slots, sgd)
{
    static group k;

    for (int i = 0; i < LEN(floats) * 4; i++) {
        tp_sgd_args a = { .momentum = i & 1 ? 0.9 : 0,
                          .dampening = i & 2 ? 0 : 0.2,
                          .weight_decay = 0.01,
                          .nesterov = (i & 3) == 3,
                          .maximize = (i & 3) == 1 };
        tp_dtype t = floats[i / 4];

        make_group(&k, t);
        CASE("sgd %d, %s", i % 4, dtype_names[t]);
        for (int step = 0; step < 3; step++) {
            RUN(tick, TP_F64, AT(k.step), AT(k.skip));
            RUN(sgd, t, TENSORS, k.u[side], a, SCALARS(k));
        }
        check_group(&k);
        release_all();
    }
}

Test(slots, adam)
{
    static group k;

    for (int i = 0; i < (LEN(floats) - 1) * 4; i++) { /* squares of f16 are too coarse to compare */
        tp_adam_args a = { .beta1 = 0.9,
                           .beta2 = 0.999,
                           .eps = 1e-8,
                           .weight_decay = 0.1,
                           .decoupled = i % 2,
                           .amsgrad = i & 2,
                           .maximize = (i & 3) == 3 };
        tp_dtype t = floats[i / 4];

        make_group(&k, t);
        CASE("adam %d, %s", i % 4, dtype_names[t]);
        for (int step = 0; step < 3; step++) {
            RUN(tick, TP_F64, AT(k.step), AT(k.skip));
            RUN(adam, t, TENSORS, k.u[side], a, SCALARS(k));
        }
        check_group(&k);
        release_all();
    }
}

Test(slots, skipped_updates)
{
    tp_adam_args adam = { .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8 };
    static group k;

    CASE("skipped updates");
    make_group(&k, TP_F32);
    k.skip = values(TP_F64, 1, (double[]){ 1 });
    RUN(tick, TP_F64, AT(k.step), AT(k.skip));
    RUN(adam, TP_F32, TENSORS, k.u[side], adam, SCALARS(k));
    for (int i = 0; i < TENSORS; i++) {
        buffer same = k.p[i];

        check_same(&same); /* as drawn, on both sides */
    }
    cr_expect_eq(*(double *)k.step.at[CPU], 0);
    release_all();
}

Test(slots, clipping)
{
    for (int i = 0; i < LEN(floats) * 2; i++) {
        tp_dtype t = floats[i / 2];
        buffer norm = blank(TP_F64, 1);
        static group k;

        make_group(&k, t);
        CASE("clip_norm, %s, %s", dtype_names[t], i % 2 ? "far" : "near");
        RUN(sum_squares, t, TENSORS, k.u[side], false, AT(norm));
        check_close(&norm, 64);
        RUN(sum_squares, t, TENSORS, k.u[side], true, AT(norm));
        check_close(&norm, 64);
        RUN(clip_norm, t, TENSORS, k.u[side], AT(norm), i % 2 ? 1e6 : 0.5);
        for (int j = 0; j < TENSORS; j++)
            check_close(&k.g[j], 64);
        release_all();
    }
}

/* ---- the other rules: three steps of each ---- */

/* m and w aren't there. */
static void forget_more(group *k)
{
    for (int s = 0; s < SIDES; s++)
        for (int i = 0; i < TENSORS; i++)
            k->u[s][i].m = k->u[s][i].w = NULL;
}

#define RULE(slot, name, ...)                                                            \
    for (int i = 0; i < LEN(floats) - 1; i++) {                                          \
        tp_##slot##_args a = { __VA_ARGS__ };                                            \
                                                                                         \
        make_group(&k, floats[i]);                                                       \
        if (strstr(name, "without")) forget_more(&k);                                    \
        CASE("%s, %s", name, dtype_names[floats[i]]);                                    \
        for (int step = 0; step < 3; step++) {                                           \
            RUN(tick, TP_F64, AT(k.step), AT(k.skip));                                   \
            RUN(slot, floats[i], TENSORS, k.u[side], a, SCALARS(k));                     \
        }                                                                                \
        check_group(&k);                                                                 \
        release_all();                                                                   \
    }

static group k;

/* Where g and the decayed weight cancel, d is their rounding, which d / (sqrt v + eps) multiplies by 1 / eps: few
 * epsilon for an eps near sqrt v. */
Test(slots, rates)
{
    RULE(rmsprop, "rmsprop", .alpha = 0.9, .eps = 0.1, .weight_decay = 0.1, .momentum = 0.9, .centered = true)
    RULE(rmsprop, "rmsprop without a mean", .alpha = 0.9, .eps = 0.1, .maximize = true)
    RULE(adagrad, "adagrad", .lr_decay = 0.1, .eps = 0.1, .weight_decay = 0.1)
    RULE(adadelta, "adadelta", .rho = 0.9, .eps = 1e-3, .weight_decay = 0.1)
    RULE(lion, "lion", .beta1 = 0.9, .beta2 = 0.99, .weight_decay = 0.1)
    RULE(muon, "muon", .momentum = 0.95, .weight_decay = 0.1)
}

Test(slots, moments)
{
    RULE(adamax, "adamax", .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .weight_decay = 0.1)
    RULE(nadam, "nadam", .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .weight_decay = 0.1, .momentum_decay = 4e-3)
    RULE(nadam, "nadam, decoupled", .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .weight_decay = 0.1, .decoupled = true)
    RULE(radam, "radam", .beta1 = 0.9, .beta2 = 0.6, .eps = 1e-3, .weight_decay = 0.1)
    RULE(radam, "radam, decoupled", .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-3, .weight_decay = 0.1, .decoupled = true, .maximize = true)
}

/* Tensors at odd addresses, and without what a rule doesn't have. */
Test(slots, odd_updates)
{
    buffer g = numbers(TP_F32, 9002, -1, 1), p = numbers(TP_F32, 9002, -1, 1), lr = values(TP_F64, 1, (double[]){ 0.1 });
    buffer step = values(TP_F64, 1, (double[]){ 1 });
    tp_sgd_args a = { .weight_decay = 0.1 };
    tp_update u[SIDES][2];

    for (int s = 0; s < SIDES; s++) {
        u[s][0] = (tp_update){ .n = 4500, .g = offset(&g, s, 1), .p = offset(&p, s, 1) };
        u[s][1] = (tp_update){ .n = 4501, .g = offset(&g, s, 4501), .p = offset(&p, s, 4501) };
    }
    CASE("odd addresses");
    RUN(sgd, TP_F32, 2, u[side], a, ((tp_scalars){ .lr = AT(lr), .step = AT(step) }));
    check_close(&p, 16);
    release_all();
}

Test(slots, scaling)
{
    static const double marks[] = { 1, -2, NAN, 4 };

    for (int i = 0; i < LEN(floats) * 2; i++) {
        tp_dtype t = floats[i / 2];
        buffer scale = values(TP_F64, 1, (double[]){ 4 }), good = values(TP_F64, 1, (double[]){ 0 });
        buffer found = values(TP_F64, 2, (double[]){ 0, 0 });

        make_group(&k, t);
        if (i % 2) {
            buffer bad = values(t, 4, marks);

            for (int s = 0; s < SIDES; s++)
                k.u[s][7].n = 4, k.u[s][7].g = bad.at[s];
        }
        CASE("unscale, %s, %s", dtype_names[t], i % 2 ? "a NaN" : "finite");
        RUN(unscale, t, TENSORS, k.u[side], AT(scale), false, AT(found));
        check_same(&found);
        RUN(unscale, t, TENSORS, k.u[side], NULL, true, AT(found));
        check_same(&found);
        for (int j = 0; j < TENSORS; j++)
            check_close(&k.g[j], 2);
        for (int j = 0; j < 3; j++) {
            RUN(grow, TP_F64, 2, AT(found), ((tp_grow_args){ 2, 0.5, 2 }), AT(scale), AT(good));
            check_same(&scale), check_same(&good);
        }
        RUN(clip_value, t, TENSORS, k.u[side], 0.1);
        for (int j = 0; j < TENSORS; j++)
            check_close(&k.g[j], 2);
        release_all();
    }
}

Test(slots, averages)
{
    for (int i = 0; i < LEN(floats) * 3 * 2; i++) {
        tp_dtype t = floats[i % LEN(floats)];
        tp_average_args a = { (tp_average_kind)(i / LEN(floats) % 3), 0.9 };
        buffer n = values(TP_F64, 1, (double[]){ i / LEN(floats) / 3 ? 5 : 1 });

        make_group(&k, t);
        CASE("average %d, %s", (int)a.kind, dtype_names[t]);
        RUN(average, t, TENSORS, k.u[side], a, AT(n));
        for (int j = 0; j < TENSORS; j++)
            check_close(&k.p[j], 4);
        release_all();
    }
}

/* ---- groups of many tensors, which lie side by side ---- */

Test(slots, groups_of_many_tensors)
{
    static const int counts[] = { LAUNCH - 1, LAUNCH, LAUNCH + 1, MANY };
    static tp_update u[SIDES][MANY];

    for (int c = 0; c < LEN(counts); c++) {
        buffer g = numbers(TP_F32, 2 * MANY, -1, 1), p = numbers(TP_F32, 2 * MANY, -1, 1);
        buffer m = numbers(TP_F32, 2 * MANY, 0, 0), lr = values(TP_F64, 1, (double[]){ 0.05 });
        buffer step = values(TP_F64, 1, (double[]){ 1 }), norm = values(TP_F64, 1, (double[]){ 0 });

        CASE("%d tensors", counts[c]);
        for (int i = 0; i < MANY * SIDES; i++) {
            int s = i % SIDES, k = i / SIDES, n = k % 50 == 7 ? 0 : 1 + k % 2;

            u[s][k] = (tp_update){ n, (float *)g.at[s] + 2 * k, (float *)p.at[s] + 2 * k, (float *)m.at[s] + 2 * k,
                                   NULL, NULL };
        }
        RUN(sgd, TP_F32, counts[c], u[side], (tp_sgd_args){ .momentum = 0.9 }, (tp_scalars){ AT(lr), AT(step), NULL, NULL });
        RUN(sum_squares, TP_F32, counts[c], u[side], false, AT(norm));
        check_close(&p, 16), check_close(&m, 16), check_close(&norm, 16);
        release_all();
    }
}
