/*
 * dnn_plan.c - builds cuDNN's operation graph of one convolution, picks an engine for it, and runs it.
 *
 * A status sticks: after the first call that fails the others do nothing.
 */
#include "kernels/cuda/dnn_plan.h"

#include <string.h>

enum { CONFIGS = 64, NOTES = 32 };

typedef cudnnBackendDescriptor_t part;
typedef struct build {
    const tp_dnn_ask *q;
    cudnnHandle_t h;
    part device;
    int64_t limit;
    tp_dnn_plan *to;
    cudnnStatus_t status;
} build;

static part make(build *b, cudnnBackendDescriptorType_t type)
{
    part p = NULL;

    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = cudnnBackendCreateDescriptor(type, &p);
    if (b->status != CUDNN_STATUS_SUCCESS) return NULL;
    return b->to->part[b->to->parts++] = p;
}

static void set(build *b, part p, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *v)
{
    if (b->status == CUDNN_STATUS_SUCCESS)
        b->status = cudnnBackendSetAttribute(p, name, type, n, v);
}

static void set_part(build *b, part p, cudnnBackendAttributeName_t name, part v)
{
    set(b, p, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &v);
}

static part finish(build *b, part p)
{
    if (b->status == CUDNN_STATUS_SUCCESS) b->status = cudnnBackendFinalize(p);
    return p;
}

/* ---- the graph ---- */

static cudnnDataType_t type_of(int64_t dtype)
{
    return dtype == TP_F64    ? CUDNN_DATA_DOUBLE
           : dtype == TP_BF16 ? CUDNN_DATA_BFLOAT16
           : dtype == TP_F16  ? CUDNN_DATA_HALF
                              : CUDNN_DATA_FLOAT;
}

/* Sizes in cuDNN's order, strides of the channels-last memory. */
static part tensor(build *b, int64_t id, int64_t n, int64_t c, int64_t h, int64_t w)
{
    part p = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    cudnnDataType_t type = type_of(b->q->dtype);
    int64_t size[] = { n, c, h, w }, stride[] = { h * w * c, 1, w * c, c };

    set(b, p, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(b, p, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(b, p, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, size);
    set(b, p, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    set(b, p, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &b->q->align);
    return finish(b, p);
}

/* Sums are f32, or f64 for f64. */
static part geometry(build *b)
{
    part p = make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    const tp_window *g = &b->q->g;
    cudnnDataType_t sums = b->q->dtype == TP_F64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    int64_t axes = 2, pad[] = { g->pad_h, g->pad_w },
            step[] = { g->stride_h, g->stride_w };
    int64_t apart[] = { g->dilation_h, g->dilation_w };

    set(b, p, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes);
    set(b, p, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(b, p, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(b, p, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    set(b, p, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    set(b, p, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, step);
    set(b, p, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, apart);
    return finish(b, p);
}

static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t alpha, beta, x, w, y, geometry;
} ways[] = {
    [TP_DNN_Y] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                   CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC },
    [TP_DNN_DX] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC },
    [TP_DNN_DW] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC },
};

static void set_scale(build *b, part p, cudnnBackendAttributeName_t name, double v)
{
    float v32 = (float)v;

    if (b->q->dtype == TP_F64)
        set(b, p, name, CUDNN_TYPE_DOUBLE, 1, &v);
    else
        set(b, p, name, CUDNN_TYPE_FLOAT, 1, &v32);
}

static part operation(build *b)
{
    const tp_window *g = &b->q->g;
    int way = (int)b->q->way;
    part x = tensor(b, 'x', g->N, g->C, g->H, g->W),
         y = tensor(b, 'y', g->N, g->O, g->OH, g->OW);
    part w = tensor(b, 'w', g->O, g->C / g->groups, g->KH, g->KW), k = geometry(b),
         p = make(b, ways[way].type);

    set_scale(b, p, ways[way].alpha, 1);
    set_scale(b, p, ways[way].beta, b->q->add ? 1 : 0);
    set_part(b, p, ways[way].x, x), set_part(b, p, ways[way].w, w),
        set_part(b, p, ways[way].y, y);
    set_part(b, p, ways[way].geometry, k);
    return finish(b, p);
}

static part graph(build *b)
{
    part only = operation(b), p = make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);

    if (b->h) set(b, p, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->h);
    set_part(b, p, CUDNN_ATTR_OPERATIONGRAPH_OPS, only);
    return finish(b, p);
}

/* ---- the engine ---- */

/* The same seed gives the same bits, and numbers are rounded no further than their dtype. */
static bool bad_note(const tp_dnn_ask *q, cudnnBackendNumericalNote_t note)
{
    return note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
           note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
           note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
           (note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && q->dtype == TP_F32 && !q->tf32);
}

static bool allowed(const tp_dnn_ask *q, part config)
{
    cudnnBackendNumericalNote_t note[NOTES];
    part engine = NULL;
    int64_t one = 0, n = 0;
    bool ok = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) ==
              CUDNN_STATUS_SUCCESS;

    ok = ok && !cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &one, &engine);
    ok = ok && !cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                         CUDNN_TYPE_NUMERICAL_NOTE, NOTES, &n, note);
    for (int64_t i = 0; ok && i < n; i++)
        ok = !bad_note(q, note[i]);
    if (engine) cudnnBackendDestroyDescriptor(engine);
    return ok;
}

/* The plan of config joins the parts when it can run within the limit. */
static bool plan_of(build *b, part config)
{
    int64_t one = 0;
    part p;

    b->status = CUDNN_STATUS_SUCCESS;
    p = make(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (!p) return false;
    if (b->h) set(b, p, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->h);
    if (b->device) set_part(b, p, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, b->device);
    set_part(b, p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    finish(b, p);
    if (!b->status)
        b->status =
            cudnnBackendGetAttribute(p, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                     CUDNN_TYPE_INT64, 1, &one, &b->to->workspace);
    if (!b->status && b->to->workspace <= b->limit) return b->to->plan = p, true;
    b->to->parts--;
    cudnnBackendDestroyDescriptor(p);
    return false;
}

/* Keeps the config that serves among the parts, destroys the others. */
static bool first_of(build *b, part *config, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!b->to->plan && allowed(b->q, config[i]) && plan_of(b, config[i]))
            b->to->part[b->to->parts++] = config[i];
        else
            cudnnBackendDestroyDescriptor(config[i]);
    }
    return b->to->plan != NULL;
}

static bool search(build *b, part asked, cudnnBackendHeurMode_t mode)
{
    part p = make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), config[CONFIGS];
    int64_t n = 0, made = 0;

    set_part(b, p, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, asked);
    set(b, p, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (b->device) set_part(b, p, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, b->device);
    finish(b, p);
    if (b->status) return false;
    while (made < CONFIGS && !cudnnBackendCreateDescriptor(
                                 CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[made]))
        made++;
    if (cudnnBackendGetAttribute(p, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &n, config))
        n = 0;
    for (int64_t i = n; i < made; i++)
        cudnnBackendDestroyDescriptor(config[i]);
    return first_of(b, config, n < made ? n : made);
}

bool tp_dnn_plan_make(const tp_dnn_ask *q, cudnnHandle_t h,
                      cudnnBackendDescriptor_t device, int64_t limit, tp_dnn_plan *to)
{
    build b = { .q = q, .h = h, .device = device, .limit = limit, .to = to };
    part asked;

    memset(to, 0, sizeof *to);
    asked = graph(&b);
    if (!b.status && search(&b, asked, CUDNN_HEUR_MODE_A)) return true;
    if (asked) b.status = CUDNN_STATUS_SUCCESS;
    if (asked && search(&b, asked, CUDNN_HEUR_MODE_FALLBACK)) return true;
    tp_dnn_plan_free(to);
    return false;
}

void tp_dnn_plan_free(tp_dnn_plan *p)
{
    while (p->parts > 0) /* the last made first */
        cudnnBackendDestroyDescriptor(p->part[--p->parts]);
    memset(p, 0, sizeof *p);
}

/* ---- running it ---- */

cudnnStatus_t tp_dnn_plan_run(const tp_dnn_plan *p, cudnnHandle_t h, const void *x,
                              const void *w, const void *y, void *workspace)
{
    tp_dnn_plan here = { 0 };
    build b = { .to = &here };
    part pack = make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    const void *at[] = { x, w, y };
    int64_t id[] = { 'x', 'w', 'y' };

    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, id);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, at);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    finish(&b, pack);
    if (!b.status) b.status = cudnnBackendExecute(h, p->plan, pack);
    tp_dnn_plan_free(&here);
    return b.status;
}
