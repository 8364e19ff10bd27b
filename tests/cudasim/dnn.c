/*
 * dnn.c - stand-in for cuDNN's graph API: real prototypes, graphs of one convolution.
 *
 * A descriptor keeps what is set until it is asked; what isn't in the table of attributes is refused.
 * A plan copies the convolution that it is for, and its runs are queued on the handle's stream.
 *
 * CUDASIM_DNN asks for trouble: create (no handle), memory (none for a handle at the first asking),
 * none (no engine), writing (none that adds), finalize (no plan), execute (no run), or a number, the
 * version to be.
 */
#include "tests/cudasim/dnn.h"
#include "tests/cudasim/settings.h"

#include <cudnn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct cudnnContext {
    cudaStream_t stream;
};

enum { MOST_PLANS = 1 << 16 };
static atomic_bool living[MOST_PLANS];
static atomic_int handles, descriptors, searches, plans, plans_captured,
    runs[CUDASIM_ENGINES];

void cudasim_dnn_get_stats(cudasim_dnn_stats *to)
{
    *to = (cudasim_dnn_stats){ handles, descriptors,    searches,
                               plans,   plans_captured, { 0 } };
    for (int i = 0; i < CUDASIM_ENGINES; i++)
        to->runs[i] = runs[i];
}

static const char *trouble(void)
{
    static const char *const all[] = { "create", "memory", "none", "writing", "finalize", "execute" };
    const char *t = getenv("CUDASIM_DNN");

    for (size_t i = 0; t && i < sizeof all / sizeof *all; i++)
        if (!strcmp(t, all[i])) return t;
    if (t) cudasim_setting("CUDASIM_DNN", 1, 999999, 0); /* a version */
    return t ? t : "";
}

static bool wanted(const char *what)
{
    return !strcmp(trouble(), what);
}

/* ---- the library ---- */

size_t cudnnGetVersion(void)
{
    int v = atoi(trouble());

    return v ? (size_t)v : CUDNN_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t s)
{
    return s == CUDNN_STATUS_SUCCESS            ? "CUDNN_STATUS_SUCCESS"
           : s == CUDNN_STATUS_EXECUTION_FAILED ? "CUDNN_STATUS_EXECUTION_FAILED"
           : s == CUDNN_STATUS_NOT_INITIALIZED  ? "CUDNN_STATUS_NOT_INITIALIZED"
                                                : "a status of cuDNN";
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *h)
{
    static int calls;

    if (wanted("create")) return CUDNN_STATUS_NOT_INITIALIZED;
    if (wanted("memory") && ++calls % 2) return CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    *h = calloc(1, sizeof **h);
    if (!*h) return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    handles++;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t h)
{
    free(h);
    handles--;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t stream)
{
    h->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- attributes ---- */

enum { ATTRIBUTES = 8, BYTES = 32 };

typedef struct attribute {
    cudnnBackendAttributeName_t name;
    _Alignas(8) char value[BYTES];
} attribute;

typedef struct descriptor {
    cudnnBackendDescriptorType_t type;
    bool finalized;
    int n;
    attribute at[ATTRIBUTES];
    struct descriptor *graph; /* of an engine and its configuration */
    cudasim_engine engine;
    convolution k; /* of a plan */
    atomic_bool *alive;
} descriptor;

enum { NUMBER = -1 }; /* f32 or f64 */

#define CONVOLUTION_RULES(op, NAME)                                                      \
    { op, CUDNN_ATTR_OPERATION_CONVOLUTION_##NAME##_ALPHA, NUMBER, 1, 0, false },        \
        { op, CUDNN_ATTR_OPERATION_CONVOLUTION_##NAME##_BETA, NUMBER, 1, 0, false },     \
    {                                                                                    \
        op, CUDNN_ATTR_OPERATION_CONVOLUTION_##NAME##_CONV_DESC,                         \
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,      \
            false                                                                        \
    }
#define TENSOR_RULE(op, NAME)                                                            \
    {                                                                                    \
        op, CUDNN_ATTR_OPERATION_CONVOLUTION_##NAME, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,   \
            CUDNN_BACKEND_TENSOR_DESCRIPTOR, false                                       \
    }
#define FORWARD CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR
#define DATA    CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR
#define FILTER  CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR
#define TENSOR  CUDNN_BACKEND_TENSOR_DESCRIPTOR
#define CONV    CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR
#define GRAPH   CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR
#define HEUR    CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR
#define CONFIG  CUDNN_BACKEND_ENGINECFG_DESCRIPTOR
#define PLAN    CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR
#define PACK    CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR

/* What may be set: all of it must be, but for what is optional.  refers: to descriptors of this type;
 * -1: of one of the three operations. */
static const struct rule {
    cudnnBackendDescriptorType_t of;
    cudnnBackendAttributeName_t name;
    int type, n, refers;
    bool optional;
} rules[] = {
    { TENSOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, 0, false },
    { TENSOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 0, false },
    { TENSOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, 0, false },
    { TENSOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, 0, false },
    { TENSOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, 0, false },
    { CONV, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, 0, false },
    { CONV, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, 0, false },
    { CONV, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, 0, false },
    { CONV, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, 0, false },
    { CONV, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, 0, false },
    { CONV, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, 0, false },
    { CONV, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, 0, false },
    TENSOR_RULE(FORWARD, FORWARD_X),
    TENSOR_RULE(FORWARD, FORWARD_W),
    TENSOR_RULE(FORWARD, FORWARD_Y),
    CONVOLUTION_RULES(FORWARD, FORWARD),
    TENSOR_RULE(DATA, BWD_DATA_DX),
    TENSOR_RULE(DATA, BWD_DATA_W),
    TENSOR_RULE(DATA, BWD_DATA_DY),
    CONVOLUTION_RULES(DATA, BWD_DATA),
    TENSOR_RULE(FILTER, BWD_FILTER_X),
    TENSOR_RULE(FILTER, BWD_FILTER_DW),
    TENSOR_RULE(FILTER, BWD_FILTER_DY),
    CONVOLUTION_RULES(FILTER, BWD_FILTER),
    { GRAPH, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, 0, true },
    { GRAPH, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, -1, false },
    { HEUR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
      GRAPH, false },
    { HEUR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, 0, false },
    { PLAN, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, 0, false },
    { PLAN, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
      CONFIG, false },
    { PACK, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, 0, false },
    { PACK, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, 0, false },
    { PACK, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, 0, true },
};
enum { RULES = sizeof rules / sizeof *rules };

static const void *of(const descriptor *d, int name)
{
    for (int i = 0; i < d->n; i++)
        if ((int)d->at[i].name == name) return d->at[i].value;
    return NULL;
}

static descriptor *part(const descriptor *d, int name)
{
    return *(descriptor *const *)of(d, name);
}

static int64_t integer(const descriptor *d, int name)
{
    return *(const int64_t *)of(d, name);
}

static bool known(cudnnBackendDescriptorType_t type)
{
    return type == TENSOR || type == CONV || type == FORWARD || type == DATA ||
           type == FILTER || type == GRAPH || type == HEUR || type == CONFIG ||
           type == PLAN || type == PACK || type == CUDNN_BACKEND_ENGINE_DESCRIPTOR;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t *to)
{
    descriptor *d = known(type) ? calloc(1, sizeof *d) : NULL;

    if (!d) return CUDNN_STATUS_NOT_SUPPORTED;
    d->type = type, *to = d;
    descriptors++;
    return CUDNN_STATUS_SUCCESS;
}

/* A plan may not leave while its runs wait in a stream or stand in a graph. */
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t of_)
{
    descriptor *d = of_;

    if (d->alive) *d->alive = false;
    free(d);
    descriptors--;
    return CUDNN_STATUS_SUCCESS;
}

static size_t size_of(int type)
{
    switch (type) {
    case CUDNN_TYPE_DATA_TYPE:
    case CUDNN_TYPE_CONVOLUTION_MODE:
    case CUDNN_TYPE_HEUR_MODE:
    case CUDNN_TYPE_FLOAT:
        return 4;
    default:
        return 8;
    }
}

static bool operation(const descriptor *d)
{
    return d->type == FORWARD || d->type == DATA || d->type == FILTER;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t of_,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n,
                                       const void *v)
{
    descriptor *d = of_;
    const struct rule *r = rules;
    bool number = type == CUDNN_TYPE_FLOAT || type == CUDNN_TYPE_DOUBLE;

    while (r < rules + RULES && (r->of != d->type || r->name != name))
        r++;
    if (r == rules + RULES) return CUDNN_STATUS_NOT_SUPPORTED;
    if (d->finalized || of(d, (int)name)) return CUDNN_STATUS_NOT_INITIALIZED;
    if (r->type != (int)type && !(r->type == NUMBER && number))
        return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
    if (n != r->n) return CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT;
    if (r->refers) {
        const descriptor *other = *(descriptor *const *)v;

        if (!other || !other->finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
        if (r->refers < 0 ? !operation(other) : (int)other->type != r->refers)
            return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
    }
    d->at[d->n].name = name;
    memcpy(d->at[d->n++].value, v, (size_t)n * size_of((int)type));
    return CUDNN_STATUS_SUCCESS;
}

/* ---- what a graph says ---- */

/* Names of the three operations' attributes: of its tensors, in the order X, W, Y, and the rest. */
static const struct names {
    cudnnBackendDescriptorType_t of;
    int result, tensor[OPERANDS], geometry, alpha, beta;
} operations[] = {
    { FORWARD,
      Y,
      { CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y },
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
    { DATA,
      X,
      { CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY },
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
    { FILTER,
      W,
      { CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY },
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
};

static const struct names *names_of(const descriptor *op)
{
    return &operations[op->type == FORWARD ? 0 : op->type == DATA ? 1 : 2];
}

static cudnnDataType_t type_of(const descriptor *tensor)
{
    return *(const cudnnDataType_t *)of(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE);
}

/* Sizes in the order of memory; false unless it is dense and channels come last there. */
static bool sizes_of(const descriptor *tensor, int64_t *n)
{
    const int64_t *size = of(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const int64_t *stride = of(tensor, CUDNN_ATTR_TENSOR_STRIDES);

    n[0] = size[0], n[1] = size[2], n[2] = size[3], n[3] = size[1];
    return size[0] > 0 && size[1] > 0 && size[2] > 0 && size[3] > 0 && stride[1] == 1 &&
           stride[3] == n[3] && stride[2] == n[2] * n[3] &&
           stride[0] == n[1] * n[2] * n[3];
}

static double scale_of(const descriptor *op, int name, bool wide)
{
    return wide ? *(const double *)of(op, name) : (double)*(const float *)of(op, name);
}

static void fill(const descriptor *op, convolution *k)
{
    const struct names *s = names_of(op);
    const descriptor *tensor = part(op, s->tensor[X]), *g = part(op, s->geometry);
    cudnnDataType_t type = type_of(tensor);

    k->result = s->result;
    k->type = type == CUDNN_DATA_DOUBLE     ? CUDA_R_64F
              : type == CUDNN_DATA_BFLOAT16 ? CUDA_R_16BF
              : type == CUDNN_DATA_HALF     ? CUDA_R_16F
                                            : CUDA_R_32F;
    memcpy(k->stride, of(g, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES), sizeof k->stride);
    memcpy(k->pad, of(g, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), sizeof k->pad);
    memcpy(k->dilation, of(g, CUDNN_ATTR_CONVOLUTION_DILATIONS), sizeof k->dilation);
    k->alpha = scale_of(op, s->alpha, k->type == CUDA_R_64F);
    k->beta = scale_of(op, s->beta, k->type == CUDA_R_64F);
}

static bool same_shape(const convolution *k)
{
    int64_t groups = k->w[3] ? k->x[3] / k->w[3] : 0;

    for (int i = 0; i < 2; i++)
        if (k->y[1 + i] !=
            (k->x[1 + i] + 2 * k->pad[i] - k->dilation[i] * (k->w[1 + i] - 1) - 1) /
                    k->stride[i] +
                1)
            return false;
    return k->x[0] == k->y[0] && groups > 0 && k->x[3] == groups * k->w[3] &&
           k->y[3] == k->w[0] && k->w[0] % groups == 0;
}

/* Sums are f32, or f64 for f64. */
static cudnnStatus_t check_operation(const descriptor *op)
{
    const struct names *s = names_of(op);
    const descriptor *tensor[OPERANDS], *g = part(op, s->geometry);
    cudnnDataType_t sums =
        *(const cudnnDataType_t *)of(g, CUDNN_ATTR_CONVOLUTION_COMP_TYPE);
    convolution k;

    for (int i = 0; i < OPERANDS; i++) {
        tensor[i] = part(op, s->tensor[i]);
        if (!sizes_of(tensor[i], i == X ? k.x : i == W ? k.w : k.y))
            return CUDNN_STATUS_NOT_SUPPORTED_LAYOUT;
        if (type_of(tensor[i]) != type_of(tensor[X]))
            return CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE;
    }
    fill(op, &k);
    if ((k.type == CUDA_R_64F) != (sums == CUDNN_DATA_DOUBLE))
        return CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE;
    if (integer(g, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2 ||
        memcmp(k.pad, of(g, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS), sizeof k.pad))
        return CUDNN_STATUS_NOT_SUPPORTED_PADDING;
    return same_shape(&k) ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH;
}

/* ---- engines ---- */

enum { NO_NOTE = -1 };

static const struct {
    int note;
    int64_t workspace;
} engines[CUDASIM_ENGINES] = {
    [CUDASIM_NONDETERMINISTIC] = { CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, 0 },
    [CUDASIM_DOWN_CONVERTING] = { CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, 0 },
    [CUDASIM_REDUCED] = { CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, 0 },
    [CUDASIM_HUGE] = { NO_NOTE, (int64_t)64 << 30 },
    [CUDASIM_UNPLANNABLE] = { NO_NOTE, 0 },
    [CUDASIM_TENSOR_CORE] = { CUDNN_NUMERICAL_NOTE_TENSOR_CORE, 256 },
    [CUDASIM_ORDINARY] = { NO_NOTE, 70000 },
    [CUDASIM_FRUGAL] = { NO_NOTE, 0 },
};

/* No plan for bf16 before compute capability 8. */
static bool has_engines(const descriptor *graph)
{
    struct cudaDeviceProp gpu;
    convolution k;

    cudaGetDeviceProperties(&gpu, 0);
    fill(part(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS), &k);
    return !wanted("none") && !(wanted("writing") && k.beta != 0) &&
           !(k.type == CUDA_R_16BF && gpu.major < 8);
}

static cudnnStatus_t give_configs(const descriptor *heur, int64_t room, int64_t *n,
                                  descriptor *const *to)
{
    bool fallback = *(const cudnnBackendHeurMode_t *)of(
                        heur, CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_FALLBACK;
    descriptor *graph = part(heur, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);

    searches++;
    *n = 0;
    if (!has_engines(graph)) return CUDNN_STATUS_SUCCESS;
    for (int e = fallback ? CUDASIM_FRUGAL : 0;
         e < (fallback ? CUDASIM_ENGINES : CUDASIM_FRUGAL); e++)
        if (*n < room) {
            descriptor *d = to[(*n)++];

            d->engine = (cudasim_engine)e, d->graph = graph, d->finalized = true;
        }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const of_,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room,
                                       int64_t *n, void *to)
{
    const descriptor *d = of_;

    (void)type;
    if (!d->finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    *n = 1;
    if (d->type == HEUR && name == CUDNN_ATTR_ENGINEHEUR_RESULTS)
        return give_configs(d, room, n, to);
    if (d->type == CONFIG && name == CUDNN_ATTR_ENGINECFG_ENGINE) {
        descriptor *e = *(descriptor **)to;

        e->engine = d->engine, e->graph = d->graph, e->finalized = true;
    } else if (d->type == CUDNN_BACKEND_ENGINE_DESCRIPTOR &&
               name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
        *n = engines[d->engine].note != NO_NOTE;
        if (*n)
            *(cudnnBackendNumericalNote_t *)to =
                (cudnnBackendNumericalNote_t)engines[d->engine].note;
    } else if (d->type == PLAN && name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
        *(int64_t *)to = d->k.workspace_bytes;
    } else {
        return CUDNN_STATUS_NOT_SUPPORTED;
    }
    return CUDNN_STATUS_SUCCESS;
}

/* ---- plans ---- */

static const descriptor *operation_of(const descriptor *plan)
{
    return part(part(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)->graph,
                CUDNN_ATTR_OPERATIONGRAPH_OPS);
}

static cudnnStatus_t make_plan(descriptor *plan)
{
    const descriptor *op = operation_of(plan);
    cudnnHandle_t h = *(const cudnnHandle_t *)of(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
    enum cudaStreamCaptureStatus captured = cudaStreamCaptureStatusNone;
    convolution *k = &plan->k;

    k->engine = part(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG)->engine;
    k->workspace_bytes = engines[k->engine].workspace;
    fill(op, k);
    for (int i = 0; i < OPERANDS; i++) {
        const descriptor *t = part(op, names_of(op)->tensor[i]);

        sizes_of(t, i == X ? k->x : i == W ? k->w : k->y);
        if (k->engine == CUDASIM_ORDINARY &&
            integer(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) < 16)
            return CUDNN_STATUS_NOT_SUPPORTED;
    }
    if (k->engine == CUDASIM_UNPLANNABLE || wanted("finalize"))
        return CUDNN_STATUS_NOT_SUPPORTED;
    cudaStreamIsCapturing(h->stream, &captured);
    if (plans == MOST_PLANS) return CUDNN_STATUS_INTERNAL_ERROR;
    k->alive = plan->alive = &living[plans++];
    *plan->alive = true;
    plans_captured += captured != cudaStreamCaptureStatusNone;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t of_)
{
    descriptor *d = of_;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;

    for (int i = 0; i < RULES; i++)
        if (rules[i].of == d->type && !rules[i].optional && !of(d, (int)rules[i].name))
            return CUDNN_STATUS_BAD_PARAM;
    if (operation(d)) status = check_operation(d);
    if (d->type == PLAN) status = make_plan(d);
    d->finalized = status == CUDNN_STATUS_SUCCESS;
    return status;
}

/* The pointer of a tensor's id, aligned as promised. */
static char *pointer_of(const descriptor *pack, const descriptor *tensor)
{
    const int64_t *id = of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    char *const *at = of(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    uintptr_t align = (uintptr_t)integer(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);

    for (int i = 0; i < 3; i++)
        if (id[i] == integer(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID))
            return (uintptr_t)at[i] % align ? NULL : at[i];
    return NULL;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t h, cudnnBackendDescriptor_t plan_,
                                  cudnnBackendDescriptor_t pack_)
{
    const descriptor *plan = plan_, *pack = pack_, *op;
    convolution k;

    if (!plan->finalized || !pack->finalized) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    if (wanted("execute")) return CUDNN_STATUS_EXECUTION_FAILED;
    op = operation_of(plan), k = plan->k;
    for (int i = 0; i < OPERANDS; i++)
        if (!(k.at[i] = pointer_of(pack, part(op, names_of(op)->tensor[i]))))
            return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
    if (of(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE))
        k.workspace = *(char *const *)of(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    if (k.workspace_bytes && (!k.workspace || (uintptr_t)k.workspace % 256))
        return CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER;
    runs[k.engine]++;
    return cudasim_enqueue(h->stream, cudasim_convolve, &k, sizeof k)
               ? CUDNN_STATUS_EXECUTION_FAILED
               : CUDNN_STATUS_SUCCESS;
}
