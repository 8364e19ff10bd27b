/*
 * test_plans.c - asks NVIDIA's own cuDNN, on a machine without a GPU, for the plans that
 * kernels/cuda/dnn_plan.c would make on six GPUs.
 *
 * cuDNN takes a description of the device in place of one.  A plan proves that the graph is accepted
 * and that an engine exists within our rules; not that it runs.
 */
#include "kernels/cuda/dnn_plan.h"

#include <stdio.h>
#include <string.h>

#define LEN(array) ((int)(sizeof(array) / sizeof *(array)))

typedef struct gpu {
    const char *name;
    int version, processors, shared;
} gpu;

static const gpu gpus[] = {
    { "T4", 750, 40, 65536 },         { "A100", 800, 108, 166912 },
    { "RTX 4090", 890, 128, 101376 }, { "H100", 900, 132, 232448 },
    { "B200", 1000, 148, 232448 },    { "RTX 5090", 1200, 170, 101376 }
};

typedef struct layer {
    const char *name;
    int64_t N, C, H, O, K, stride, pad, dilation, groups;
} layer;

static const layer layers[] = {
    { "first of CNN", 64, 1, 28, 32, 3, 1, 1, 1, 1 },
    { "second of CNN", 64, 32, 14, 64, 3, 1, 1, 1, 1 },
    { "ResNet stem", 8, 3, 224, 64, 7, 2, 3, 1, 1 },
    { "ResNet 3x3", 32, 64, 56, 64, 3, 1, 1, 1, 1 },
    { "ResNet stride 2", 32, 64, 56, 128, 3, 2, 1, 1, 1 },
    { "ResNet 1x1", 32, 256, 14, 64, 1, 1, 0, 1, 1 },
    { "ResNet 1x1 / 2", 32, 64, 56, 128, 1, 2, 0, 1, 1 },
    { "DCGAN 4x4 / 2", 64, 64, 32, 128, 4, 2, 1, 1, 1 },
    { "U-Net 8x8", 32, 96, 8, 64, 3, 1, 1, 1, 1 },
    { "odd channels, 5x5", 8, 17, 28, 33, 5, 1, 2, 1, 1 },
    { "grouped", 8, 64, 28, 64, 3, 1, 1, 1, 4 },
    { "depthwise", 8, 64, 28, 64, 3, 1, 1, 1, 64 },
    { "dilated", 8, 64, 28, 64, 3, 1, 2, 2, 1 },
    { "one element", 1, 1, 1, 1, 1, 1, 0, 1, 1 },
};

static const struct {
    const char *name;
    tp_dtype dtype;
    int tf32, align;
} kinds[] = { { "f32", TP_F32, 0, 16 }, { "f32 as TF32", TP_F32, 1, 16 },
              { "f64", TP_F64, 0, 16 }, { "bf16", TP_BF16, 0, 16 },
              { "f16", TP_F16, 0, 16 }, { "f32, unaligned", TP_F32, 0, 4 } };

static bool describe(const gpu *g, cudnnBackendDescriptor_t *to)
{
    char text[1024];

    snprintf(
        text, sizeof text,
        "{\"cudaDeviceId\":0,\"deviceVer\":%d,\"driverVer\":13000,\"maxGridSize\":["
        "2147483647,65535,65535],"
        "\"maxBlockSize\":[1024,1024,64],\"regsPerBlock\":65536,\"multiProcessorCount\":%"
        "d,\"warpSize\":32,"
        "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":%d,"
        "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
        "\"maxCtasPerSM\":16,"
        "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":1024,\"pciDeviceId\":0,"
        "\"isTccDriver\":0,"
        "\"supportCoopLaunch\":1,\"smClockRateKHz\":1410000,\"memClockRateKHz\":1215000,"
        "\"l2CacheSize\":41943040,\"deviceName\":\"%s\",\"totalGlobalMem\":16000000000}",
        g->version, g->processors, g->shared, g->name);
    return !cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, to) &&
           !cudnnBackendSetAttribute(*to, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                     CUDNN_TYPE_CHAR, (int64_t)strlen(text) + 1, text) &&
           !cudnnBackendFinalize(*to);
}

static tp_dnn_ask ask_of(const layer *l, int kind, int way, bool add)
{
    int64_t out = tp_window_out(l->H, l->K, l->stride, l->pad, l->dilation);

    return (tp_dnn_ask){ .g = { .N = l->N,
                                .H = l->H,
                                .W = l->H,
                                .C = l->C,
                                .O = l->O,
                                .OH = out,
                                .OW = out,
                                .KH = l->K,
                                .KW = l->K,
                                .stride_h = l->stride,
                                .stride_w = l->stride,
                                .pad_h = l->pad,
                                .pad_w = l->pad,
                                .dilation_h = l->dilation,
                                .dilation_w = l->dilation,
                                .groups = l->groups },
                         .dtype = kinds[kind].dtype,
                         .way = way,
                         .tf32 = kinds[kind].tf32,
                         .add = add,
                         .align = kinds[kind].align };
}

/* Turing has no bf16; everything else has a plan everywhere. */
static bool expected(const gpu *g, int kind)
{
    return g->version >= 800 || kinds[kind].dtype != TP_BF16;
}

/* Prints the layers whose answer isn't the expected one; gives their number. */
static int try_kind(const gpu *g, cudnnBackendDescriptor_t device, int kind)
{
    int found = 0, asked = 0, wrong = 0;

    for (int i = 0; i < LEN(layers) * 4; i++) {
        int way = i % 4 == 3 ? TP_DNN_DX : i % 4;
        tp_dnn_ask q = ask_of(&layers[i / 4], kind, way, i % 4 == 3);
        tp_dnn_plan p;
        bool is = tp_dnn_plan_make(&q, NULL, device, (int64_t)1 << 30, &p);

        asked++, found += is;
        if (is != expected(g, kind))
            wrong++, printf("    %s, %s, %s: %s\n", g->name, kinds[kind].name,
                            layers[i / 4].name, is ? "a plan" : "no plan");
        if (is) tp_dnn_plan_free(&p);
    }
    printf("%-9s %-15s %3d of %3d plans\n", g->name, kinds[kind].name, found, asked);
    return wrong;
}

int main(void)
{
    int wrong = 0;

    printf("cuDNN %zu\n", cudnnGetVersion());
    for (int i = 0; i < LEN(gpus); i++) {
        cudnnBackendDescriptor_t device = NULL;

        if (!describe(&gpus[i], &device))
            return printf("%s: the description isn't taken\n", gpus[i].name), 1;
        for (int kind = 0; kind < LEN(kinds); kind++)
            wrong += try_kind(&gpus[i], device, kind);
        cudnnBackendDestroyDescriptor(device);
    }
    printf("%d answers are not the expected ones\n", wrong);
    return wrong != 0;
}
